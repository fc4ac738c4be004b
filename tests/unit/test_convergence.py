"""Convergence as commands: what is run for whom, and what a check of Ansible's tells."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import convergence
from deploy.convergence import Convergence
from deploy.errors import UnchangedError, UsageError
from deploy.hands import Fleet
from deploy.provision.differences import FILE, Difference
from deploy.specs import STATELESS, tree


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[list[str]]]:
    """Stands in for other programs: run(exit code, what it tells as different)."""
    seen: list[list[str]] = []

    def stand_in(code: int = 0, told: str = "") -> list[list[str]]:
        def called(words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
            seen.append([Path(words[0]).name, *words[1:]])
            if told:
                Path(options["env"][FILE]).write_text(told)
            return subprocess.CompletedProcess(words, code, "", "why it failed")

        monkeypatch.setattr(convergence.subprocess, "run", called)
        return seen

    return stand_in


def of(*limit: str, user: str = "") -> Convergence:
    return Convergence(Fleet("production", "", False, lambda: pytest.fail("no vault is needed")), limit, user)


def test_the_command_is_what_a_person_would_type(run: Callable[..., list[list[str]]], capsys: Any) -> None:
    seen = run()
    of("web", "lb1", user="root").provision()
    assert seen == [[
        "pyinfra", "deploy.inventory:fleet", "deploy/provision/site.py", "--limit", "web", "--limit", "lb1",
        "--ssh-user", "root", "--yes", "--fail-percent", "0",
    ]]  # fmt: skip
    assert capsys.readouterr().out.startswith("NEXUS_ENV=production pyinfra deploy.inventory:fleet ")


def test_differences_are_told_each_once_in_order(run: Callable[..., list[list[str]]]) -> None:
    line = '{"host": "web1", "role": "nginx", "what": "%s"}\n'
    seen = run(told=line % "/b" + line % "/a" + line % "/b")
    assert of().differences() == [Difference("web1", "nginx", "/a"), Difference("web1", "nginx", "/b")]
    assert "--dry" in seen[0]


@pytest.mark.parametrize("act", ["provision", "differences"])
def test_a_failure_says_what_to_do(run: Callable[..., list[list[str]]], act: str) -> None:
    run(code=1)
    with pytest.raises(UnchangedError, match="pyinfra") as caught:
        getattr(of(), act)()
    assert "same command again" in caught.value.mend


@pytest.mark.parametrize("name", ["nobody", "etcd", "web,lb1"])
def test_a_name_of_nothing_is_refused_before_anything_runs(run: Callable[..., list[list[str]]], name: str) -> None:
    seen = run()
    with pytest.raises(UsageError, match=f"no host is called '{name}'"):
        of(name).provision()
    assert seen == []


def test_what_ansible_would_change_is_told_by_path_command_or_task() -> None:
    hosts = {
        "db1": {"changed": True, "paths": ["/a", "/b"]}, "db2": {"changed": False, "paths": []},
        "ops1": {"changed": True, "commands": ["systemctl start redis"]}, "web1": {"changed": True},
    }
    said = {"plays": [{"tasks": [{"task": {"name": "redis : Configuration is in place"}, "hosts": hosts}]}]}
    assert list(convergence.changed(said)) == [
        Difference("db1", "redis", "/a"), Difference("db1", "redis", "/b"),
        Difference("ops1", "redis", "systemctl start redis"), Difference("web1", "redis", "Configuration is in place"),
    ]


def test_every_role_belongs_to_one_part() -> None:
    stateful = convergence.stateful_roles(tree())
    assert set(stateful) | set(STATELESS) == set(tree().role_names)
    assert not set(stateful) & set(STATELESS)
