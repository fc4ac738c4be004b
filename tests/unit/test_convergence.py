"""Convergence as commands: what is run for whom, and what a check of Ansible's tells."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy import convergence
from deploy.convergence import Convergence
from deploy.errors import UnchangedError, UsageError
from deploy.hands import Fleet
from deploy.provision.differences import FILE, Difference
from deploy.specs import STATELESS, tree


@dataclass
class StandIn:
    """Other programs: they end with *code*, and tell *told* as different."""

    code: int = 0
    told: str = ""
    seen: list[list[str]] = field(default_factory=list)

    def __call__(self, words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        self.seen.append([Path(words[0]).name, *words[1:]])
        if self.told:
            Path(options["env"][FILE]).write_text(self.told)
        return subprocess.CompletedProcess(words, self.code, "", "why it failed")


def of(run: StandIn, *limit: str, user: str = "") -> Convergence:
    hands = Fleet("production", "", False, lambda: pytest.fail("no vault is needed"))
    return Convergence(hands, limit, user, execute=run)


def test_the_command_is_what_a_person_would_type(capsys: Any) -> None:
    run = StandIn()
    of(run, "web", "lb1", user="root").provision()
    assert run.seen == [[
        "pyinfra", "deploy.inventory:fleet", "deploy/provision/site.py", "--limit", "web1", "--limit", "web2",
        "--limit", "lb1", "--ssh-user", "root", "--yes", "--fail-percent", "0",
    ]]  # fmt: skip
    assert capsys.readouterr().out.startswith("NEXUS_ENV=production pyinfra deploy.inventory:fleet ")


def test_differences_are_told_each_once_in_order() -> None:
    line = '{"host": "web1", "role": "nginx", "what": "%s"}\n'
    run = StandIn(told=line % "/b" + line % "/a" + line % "/b")
    assert of(run).differences() == [Difference("web1", "nginx", "/a"), Difference("web1", "nginx", "/b")]
    assert "--dry" in run.seen[0]


@pytest.mark.parametrize("act", ["provision", "differences"])
def test_a_failure_says_what_to_do(act: str) -> None:
    with pytest.raises(UnchangedError, match="pyinfra") as caught:
        getattr(of(StandIn(code=1)), act)()
    assert "same command again" in caught.value.mend


@pytest.mark.parametrize("name", ["nobody", "etcd", "web,lb1"])
def test_a_name_of_nothing_is_refused_before_anything_runs(name: str) -> None:
    run = StandIn()
    with pytest.raises(UsageError, match=f"no host is called '{name}'"):
        of(run, name).provision()
    assert run.seen == []


def test_what_ansible_would_change_is_told_by_path_command_or_task() -> None:
    hosts = {
        "db1": {"changed": True, "paths": ["/a", "/b"]}, "db2": {"changed": False, "paths": []},
        "ops1": {"changed": True, "commands": ["systemctl start redis"]}, "web1": {"changed": True},
        "web2": {"changed": True, "paths": ["/c"], "commands": ["systemctl reload redis"]},
    }
    said = {"plays": [{"tasks": [{"task": {"name": "redis : Configuration is in place"}, "hosts": hosts}]}]}
    assert list(convergence.changed(said)) == [
        Difference("db1", "redis", "/a"), Difference("db1", "redis", "/b"),
        Difference("ops1", "redis", "systemctl start redis"), Difference("web1", "redis", "Configuration is in place"),
        Difference("web2", "redis", "/c"), Difference("web2", "redis", "systemctl reload redis"),
    ]


def test_every_role_belongs_to_one_part() -> None:
    stateful = convergence.stateful_roles(tree())
    assert set(stateful) | set(STATELESS) == set(tree().role_names)
    assert not set(stateful) & set(STATELESS)
