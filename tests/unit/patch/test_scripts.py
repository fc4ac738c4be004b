"""The scripts that a host runs: each is shell, and what has to be in them is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.patch import commands

SCRIPTS = {
    "survey": commands.SURVEY, "upgrade": commands.UPGRADE, "start": commands.upgrade(), "health": commands.HEALTH,
    "finished": commands.FINISHED, "proxy": commands.QUIET_PROXY, "workers": commands.QUIET_WORKERS,
    "refresh": commands.REFRESH, "begin": commands.begin('{"a": "it\'s"}'), "units": commands.units_of(["a", "b"]),
    "restart": commands.restart(["a.service", "b@c.service"]), "journal": commands.journal("a.service"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_is_one_that_a_shell_can_read(name: str) -> None:
    done = subprocess.run(["sh", "-n"], input=SCRIPTS[name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_package_is_upgraded_held_ones_too_and_none_removed() -> None:
    assert "--ignore-hold" in commands.UPGRADE
    assert "--allow-change-held-packages" in commands.UPGRADE
    assert "--no-remove" in commands.UPGRADE
    assert "apt-mark hold" in commands.UPGRADE, "what was held is held again"


def policy(tmp_path: Path) -> Path:
    """The policy as the upgrade writes it, with its lock in a folder of the test's own."""
    script = commands.UPGRADE.replace(commands.RUN, str(tmp_path)).replace(commands.POLICY, str(tmp_path / "policy"))
    written = script[script.index("printf") : script.index("chmod")]
    subprocess.run(["sh", "-c", written], check=True)
    return tmp_path / "policy"


def test_services_may_not_be_started_while_the_upgrade_holds_its_lock_and_may_afterwards(tmp_path: Path) -> None:
    script = policy(tmp_path)

    def asked() -> int:
        return subprocess.run(["sh", str(script)], check=False).returncode

    lock = tmp_path / "lock"
    lock.touch()
    holder = subprocess.Popen(["flock", str(lock), "sh", "-c", "echo held; cat"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert asked() == 101
    holder.communicate("")
    assert asked() == 0, "a policy that a crash left behind forbids nothing"


def test_intent_is_written_whole_and_survives_the_shell(tmp_path: Path) -> None:
    text = '{"a": "it\'s $HOME `x` \\\\ %s"}'
    script = commands.begin(text).replace(commands.FOLDER, str(tmp_path / "state"))
    subprocess.run(["sh", "-c", script], check=True)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["intent.json"]
    assert (tmp_path / "state/intent.json").read_text() == text + "\n"


def test_answers_are_read_by_section_without_empty_lines() -> None:
    said = commands.sections("noise\n== a\none\n\ntwo\n== b\n== c\nthree")
    assert said == {"a": ["one", "two"], "b": [], "c": ["three"]}
