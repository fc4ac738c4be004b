"""The module that puts a role's files in place: all checked before the first is replaced."""

import getpass
import grp
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
MODULE = PLUGINS / "modules/managed_files.py"


@pytest.fixture
def run(tmp_path):
    """Runs the module as Ansible does: a process with its arguments on standard input; returns its answer."""

    def call(*entries, check=False):
        owner = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}
        arguments = {"ANSIBLE_MODULE_ARGS": {
            "files": [owner | entry for entry in entries], "_ansible_check_mode": check,
            "_ansible_tmpdir": str(tmp_path), "_ansible_remote_tmp": str(tmp_path), "_ansible_diff": True,
        }}
        done = subprocess.run(
            [sys.executable, "-c", RUNNER, str(MODULE)], input=json.dumps(arguments), capture_output=True, text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    return call


# Ansible's wrapper sets the serialization profile before it runs a module; so does this.
RUNNER = f"""
import json, runpy, sys
import ansible.module_utils
ansible.module_utils.__path__.append({str(PLUGINS / "module_utils")!r})
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.read().encode()
basic._ANSIBLE_PROFILE = "legacy"
runpy.run_path(sys.argv[1], run_name="__main__")
"""


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
