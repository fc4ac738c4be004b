"""The module that makes a host as a role declares it: accounts, files (all checked before the first is replaced),
units."""

import getpass
import grp
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
MODULE = PLUGINS / "modules/managed_host.py"


@pytest.fixture
def module(tmp_path):
    """Runs the module as Ansible does: a process with its arguments on standard input; returns its answer. Programs of
    the host are stood in for by what lies in bin/."""
    (tmp_path / "bin").mkdir()

    def call(check=False, **parts):
        arguments = {"ANSIBLE_MODULE_ARGS": {
            **parts, "_ansible_check_mode": check,
            "_ansible_tmpdir": str(tmp_path), "_ansible_remote_tmp": str(tmp_path), "_ansible_diff": True,
        }}
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, str(MODULE), str(tmp_path / "pending")], input=json.dumps(arguments),
            capture_output=True, text=True, check=False,
            env=os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    return call


@pytest.fixture
def run(module):
    """The same for files of whoever runs the tests."""
    owner = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    return lambda *entries, check=False: module(files=[owner | entry for entry in entries], check=check)


@pytest.fixture
def systemctl(tmp_path):
    """A systemd that has one unit: systemctl(ActiveState, UnitFileState) answers by that, and keeps what it is told."""
    said = tmp_path / "said"

    def make(active="active", enabled="enabled", load="loaded"):
        program = tmp_path / "bin/systemctl"
        program.write_text(
            f"#!/bin/sh\n[ $1 = show ] || {{ echo \"$@\" >> {said}; exit 0; }}\n"
            f"printf 'Id=app.service\\nLoadState={load}\\nActiveState={active}\\nUnitFileState={enabled}\\n"
            "NeedDaemonReload=no\\n'\n"
        )
        program.chmod(0o755)
        return lambda: said.read_text().splitlines() if said.exists() else []

    return make


# Ansible's wrapper sets the serialization profile before it runs a module; so does this.
RUNNER = f"""
import json, pathlib, runpy, sys
import ansible.module_utils
ansible.module_utils.__path__.append({str(PLUGINS / "module_utils")!r})
from ansible.module_utils import basic, host_state
host_state.PENDING = pathlib.Path(sys.argv[2])
basic._ANSIBLE_ARGS = sys.stdin.read().encode()
basic._ANSIBLE_PROFILE = "legacy"
runpy.run_path(sys.argv[1], run_name="__main__")
"""
UNIT = {"name": "app.service"}
RENEWAL = {"pending": "app", "reload": "app.service"}


def test_file_is_made_with_content_and_mode_and_a_second_run_changes_nothing(run, tmp_path):
    entry = {"path": str(tmp_path / "a"), "content": "one\n", "mode": "0640"}
    assert run(entry)["paths"] == [entry["path"]]
    assert (tmp_path / "a").read_text() == "one\n"
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o640
    again = run(entry)
    assert again["changed"] is False
    assert again["paths"] == []


def test_content_and_mode_that_drifted_are_put_back(run, tmp_path):
    entry = {"path": str(tmp_path / "a"), "content": "one\n"}
    run(entry)
    (tmp_path / "a").write_text("two\n")
    assert run(entry)["changed"] is True
    (tmp_path / "a").chmod(0o777)
    assert run(entry)["changed"] is True
    assert (tmp_path / "a").read_text() == "one\n"
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o644


def test_folder_may_precede_its_files(run, tmp_path):
    folder = tmp_path / "d"
    answer = run({"path": str(folder), "state": "directory", "mode": "0700"},
                 {"path": str(folder / "f"), "content": "x"})
    assert answer["paths"] == [str(folder), str(folder / "f")]
    assert folder.stat().st_mode & 0o7777 == 0o700


def test_one_refused_content_leaves_every_file_as_it_was(run, tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("before")
    bad.write_text("before")
    answer = run({"path": str(good), "content": "after"},
                 {"path": str(bad), "content": "after", "validate": "grep -q before %s"})
    assert answer["failed"] is True
    assert str(bad) in answer["msg"]
    assert good.read_text() == bad.read_text() == "before"


def test_accepted_content_replaces_the_file(run, tmp_path):
    """The control of the refusal."""
    path = tmp_path / "f"
    path.write_text("before")
    assert run({"path": str(path), "content": "after", "validate": "grep -q after %s"})["changed"] is True
    assert path.read_text() == "after"


def test_check_mode_says_what_would_change_and_changes_nothing(run, tmp_path):
    answer = run({"path": str(tmp_path / "a"), "content": "one"}, check=True)
    assert answer["changed"] is True
    assert answer["diff"][0]["after"] == "one"
    assert not (tmp_path / "a").exists()


def test_file_that_is_only_created_keeps_what_it_holds(run, tmp_path):
    entry = {"path": str(tmp_path / "a"), "content": "", "create_only": True}
    assert run(entry)["changed"] is True
    (tmp_path / "a").write_text("filled by another")
    assert run(entry)["changed"] is False
    assert (tmp_path / "a").read_text() == "filled by another"


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_must_be_absent_is_removed_once(run, tmp_path, kind):
    path = tmp_path / "gone"
    if kind == "file":
        path.write_text("x")
    elif kind == "folder":
        (path / "deep").mkdir(parents=True)
    else:
        path.symlink_to("nowhere")
    entry = {"path": str(path), "state": "absent"}
    assert run(entry)["changed"] is True
    assert not path.exists()
    assert not path.is_symlink()
    assert run(entry)["changed"] is False


def test_link_is_replaced_by_a_file_and_its_target_left_alone(run, tmp_path):
    (tmp_path / "target").write_text("other")
    (tmp_path / "a").symlink_to(tmp_path / "target")
    run({"path": str(tmp_path / "a"), "content": "own"})
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_text() == "own"
    assert (tmp_path / "target").read_text() == "other"


def test_unknown_owner_fails_with_a_message(run, tmp_path):
    answer = run({"path": str(tmp_path / "a"), "content": "x", "owner": "nobody-of-this-name"})
    assert answer["failed"] is True
    assert "nobody-of-this-name" in answer["msg"]
    assert not (tmp_path / "a").exists()


def test_accounts_come_before_files_and_units_take_in_what_the_same_call_has_changed(module, systemctl, tmp_path):
    told = systemctl()
    useradd = tmp_path / "bin/useradd"
    useradd.write_text(f"#!/bin/sh\ntest ! -e {tmp_path}/app.conf && echo useradd >> {tmp_path}/said\n")
    useradd.chmod(0o755)
    owner = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    entry = {"path": str(tmp_path / "app.conf"), "content": "one\n", "pending": "app", **owner}
    account = {"name": "nobody-has-this", "home": "/srv/new", "create_home": False}
    found = module(accounts=[account], files=[entry], units=[UNIT], renewals=[RENEWAL])
    assert (found["changed"], found["paths"]) == (True, [entry["path"]])
    assert told() == ["useradd", "reload app.service"]


def test_a_call_that_fails_tells_what_it_had_done(module, tmp_path):
    useradd = tmp_path / "bin/useradd"
    useradd.write_text("#!/bin/sh\n")
    useradd.chmod(0o755)
    owner = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    entry = {"path": str(tmp_path / "a"), "content": "x", "validate": "false %s", **owner}
    found = module(accounts=[{"name": "nobody-has-this", "home": "/srv/new"}], files=[entry])
    assert (found["failed"], found["changed"], found["paths"]) == (True, True, [])
    assert found["commands"][0].startswith("useradd ")


@pytest.mark.parametrize(("active", "enabled", "load", "commands"), [
    ("active", "enabled", "loaded", []),
    ("inactive", "enabled", "loaded", ["start app.service"]),
    ("inactive", "disabled", "loaded", ["enable app.service", "start app.service"]),
    ("inactive", "masked", "masked", ["unmask app.service", "enable app.service", "start app.service"]),
])  # fmt: skip
def test_unit_is_brought_to_where_it_belongs(module, systemctl, active, enabled, load, commands):
    told = systemctl(active, enabled, load)
    would = module(units=[UNIT], check=True)
    assert (would["commands"], told()) == ([f"systemctl {words}" for words in commands], [])
    found = module(units=[UNIT])
    assert (found["commands"], found["changed"]) == (would["commands"], bool(commands))
    assert told() == commands


def test_what_a_changed_file_makes_pending_is_taken_in_once(module, run, systemctl, tmp_path):
    """In the same call, or in the next one where this was broken off before it."""
    told = systemctl()
    entry = {"path": str(tmp_path / "app.conf"), "content": "one\n", "pending": "app"}
    assert run(entry)["changed"], "broken off: nobody has taken it in"
    assert (tmp_path / "pending/app").exists()
    assert module(units=[UNIT], renewals=[RENEWAL])["commands"] == [
        "systemctl reload app.service", f"rm -f {tmp_path / 'pending/app'}",
    ]  # fmt: skip
    assert told() == ["reload app.service"]
    assert module(units=[UNIT], renewals=[RENEWAL])["changed"] is False
    assert told() == ["reload app.service"]


def test_a_file_that_is_refused_leaves_units_alone(module, systemctl, tmp_path):
    told = systemctl("inactive")
    owner = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
    entry = {"path": str(tmp_path / "a"), "content": "x", "validate": "false %s", **owner}
    found = module(files=[entry], units=[UNIT])
    assert found["failed"]
    assert "refused the new content" in found["msg"]
    assert told() == []


def test_an_account_is_made_before_files_and_put_right_afterwards(module, tmp_path):
    for name in ("useradd", "usermod"):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\necho {name} \"$@\" >> {tmp_path}/said\n")
        program.chmod(0o755)
    new = {"name": "nobody-has-this", "system": True, "shell": "/bin/false", "home": "/srv/new", "create_home": False}
    wanted = "useradd --system --user-group --no-create-home --home-dir /srv/new --shell /bin/false --password *"
    assert module(accounts=[new], check=True)["commands"] == [f"{wanted} nobody-has-this"]
    assert not (tmp_path / "said").exists()
    assert module(accounts=[new])["changed"]
    mine = pwd.getpwuid(os.getuid())
    there = {"name": mine.pw_name, "home": mine.pw_dir}
    assert module(accounts=[there | {"shell": mine.pw_shell}])["changed"] is False
    assert module(accounts=[there | {"shell": "/bin/other"}])["commands"] == [
        f"usermod --shell /bin/other --home {mine.pw_dir} {mine.pw_name}",
    ]  # fmt: skip
    assert [line.split()[0] for line in (tmp_path / "said").read_text().splitlines()] == ["useradd", "usermod"]
