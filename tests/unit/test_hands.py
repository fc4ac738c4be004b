"""deploy.hands: how ansible-playbook and ssh are called for a renewal. Both are stand-ins that note their words."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from deploy import hands, secrets
from deploy.errors import NoReleaseError, PreflightError, UnchangedError
from tests.unit.specimen import Specimen

PLAYBOOK = """#!{python}
import json, sys
words = sys.argv[1:]
file = words[words.index("--vault-password-file") + 1] if "--vault-password-file" in words else ""
twice = [open(file).read() for _ in range(2)] if file else []
json.dump({{"words": words, "password": twice}}, open({said!r}, "w"))
sys.exit({code})
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in of ansible-playbook says how it was called."""
    program = tmp_path / "bin/ansible-playbook"
    program.parent.mkdir()
    found = tmp_path / "said.json"
    program.write_text(PLAYBOOK.format(python=sys.executable, said=str(found), code=0))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    return found


def fleet(tmp_path: Path, password_file: str = "", *, encrypted: bool = True) -> hands.Fleet:
    (tmp_path / "password").write_text("open sesame\n")
    vault = secrets.vault_from(str(tmp_path / "password"))
    return hands.Fleet("live", password_file, encrypted, lambda: vault, tmp_path)


def test_site_yml_runs_for_the_roles_with_a_password_that_a_person_gave(tmp_path: Path, said: Path) -> None:
    fleet(tmp_path).converge(["redis", "booking_app"], {"redis_password_previous": ""})
    found = json.loads(said.read_text())
    assert found["password"] == ["open sesame"] * 2, "Ansible may read it more than once"
    assert found["words"][:5] == ["-i", "inventories/live", "site.yml", "--tags", "redis,booking_app"]
    assert json.loads(found["words"][6]) == {"redis_password_previous": ""}
    assert "sesame" not in str(found["words"])


def test_a_password_file_is_named_and_plain_secrets_need_none(tmp_path: Path, said: Path) -> None:
    fleet(tmp_path, str(tmp_path / "password")).converge(["redis"], {})
    assert json.loads(said.read_text())["words"][-2:] == ["--vault-password-file", str(tmp_path / "password")]
    fleet(tmp_path, encrypted=False).converge(["redis"], {})
    assert "--vault-password-file" not in json.loads(said.read_text())["words"]


def test_a_failed_run_says_that_the_old_still_counts_and_how_to_go_on(tmp_path: Path, said: Path) -> None:
    program = tmp_path / "bin/ansible-playbook"
    program.write_text(program.read_text().replace("sys.exit(0)", "sys.exit(2)"))
    with pytest.raises(UnchangedError, match="whatever was accepted before still is") as raised:
        fleet(tmp_path, encrypted=False).converge(["redis"], {})
    assert "goes on from here" in raised.value.mend


def test_a_fleet_without_a_release_needs_no_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(env: str, *, wait: float = 0) -> None:
        raise NoReleaseError("no release is there to be restarted")

    monkeypatch.setattr(hands.engine, "restart", none)
    fleet(tmp_path).restart()


@pytest.mark.parametrize("refuses", [False, True])
def test_a_key_is_proven_on_every_host_for_both_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    made = Specimen(tmp_path / "tree")
    calls, program = tmp_path / "calls", tmp_path / "ssh/ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n[ {int(refuses)} = 0 ] || {{ echo denied >&2; exit 255; }}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    listing = {"all": {"hosts": ["a", "b"]}, "_meta": {"hostvars": {"a": {"ansible_user": "ops"}, "b": {}}}}
    found = hands.inventory.parse("live", listing, made.tree)
    monkeypatch.setattr(hands.inventory, "load", lambda env, root: found)
    monkeypatch.setattr(type(found), "value", lambda self, host, name: self.hosts[host].variables.get(name, 3))
    if refuses:
        with pytest.raises(PreflightError, match="denied"):
            fleet(tmp_path).prove(tmp_path / "key.next")
        return
    fleet(tmp_path).prove(tmp_path / "key.next")
    lines = calls.read_text().splitlines()
    assert {line.split()[-2] for line in lines} == {"ops@a", "deploy@a", "ops@b", "deploy@b"}
    for line in lines:
        assert f"-i {tmp_path / 'key.next'}" in line
        assert "-o ControlPath=none -o IdentitiesOnly=yes -o BatchMode=yes" in line
