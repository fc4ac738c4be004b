"""The bench's reference of convergence: the script that somebody would write."""

import subprocess

import pytest

from deploy import host_declarations, inventory
from deploy.host_declarations import declared
from deploy.opened import Opened
from tests import environments
from tests.bench.by_hand import MAKE, ByHand, made_file


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    root = environments.tree(tmp_path_factory.mktemp("tree"), "production", None)
    fleet = inventory.load("production", root)
    return ByHand(Opened(fleet, lambda: pytest.fail("secrets are in the clear"), root), "web1")


@pytest.mark.parametrize("script", ["check", "make"])
def test_script_by_hand_is_one_that_a_shell_takes(by_hand, script):
    done = subprocess.run(["bash", "-n"], input=getattr(by_hand, script)(), text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_script_by_hand_knows_every_path_and_unit_that_the_roles_declare(by_hand):
    files = [entry for role in by_hand.roles for name in declared(role).files
             for entry in host_declarations.files(role, by_hand.renderer, name)]
    units = [unit for role in by_hand.roles for unit in host_declarations.units(role, by_hand.renderer)]
    assert len(files) > 80
    for script in by_hand.check(), by_hand.make():
        assert [entry["path"] for entry in files if entry["path"] not in script] == []
        assert [unit["name"] for unit in units if unit["name"] not in script] == []


def test_script_by_hand_makes_a_file_as_it_is_declared(tmp_path):
    """Contents with and without an end of line, and one that its check refuses."""
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    base = {"state": "file", "owner": user, "group": user, "mode": "0600", "validate": "", "create_only": False}
    entries = [
        base | {"path": str(tmp_path / "new/a b"), "content": "x $y `z`\n"},
        base | {"path": str(tmp_path / "b"), "content": "no 'end'"},
        base | {"path": str(tmp_path / "c"), "content": "x\n", "validate": "false %s"},
    ]
    script = MAKE + "".join(made_file(entry) for entry in entries)
    done = subprocess.run(["bash"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 1
    assert (tmp_path / "new/a b").read_text() == "x $y `z`\n"
    assert (tmp_path / "b").read_text() == "no 'end'"
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "c").exists()
