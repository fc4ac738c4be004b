"""Where a host's processes are put: {systemd or not} x {hybrid, unified}."""

from pathlib import Path

import pytest

from lab import cgroups
from lab.cgroups import ROOT, choose


@pytest.mark.parametrize("hierarchy", ["hybrid", "unified"])
def test_systemd_gets_a_scope_of_its_own_with_delegation(hierarchy):
    placement = choose(systemd=True, hierarchy=hierarchy, unit="nexus-x-web1")
    assert placement.join == ()
    assert placement.prefix[:2] == ("systemd-run", "--scope")
    assert "--unit=nexus-x-web1" in placement.prefix
    assert "--property=Delegate=yes" in placement.prefix
    assert placement.prefix[-1] == "--", "the command's own options are not systemd-run's"


def test_hybrid_without_systemd_joins_both_hierarchies():
    placement = choose(systemd=False, hierarchy="hybrid", unit="u")
    assert placement == cgroups.Placement((), (ROOT / "unified/u", ROOT / "systemd/u"))


def test_unified_without_systemd_joins_the_one():
    assert choose(systemd=False, hierarchy="unified", unit="u") == cgroups.Placement((), (ROOT / "u",))


@pytest.mark.parametrize("systemd", [True, False])
def test_v1_alone_is_refused(systemd):
    with pytest.raises(ValueError, match="legacy"):
        choose(systemd=systemd, hierarchy="legacy", unit="u")


@pytest.mark.parametrize(("files", "found"), [
    (["cgroup.controllers"], "unified"),
    (["unified/cgroup.procs", "systemd/cgroup.procs"], "hybrid"),
    (["systemd/cgroup.procs"], "legacy"),
    ([], "legacy"),
])
def test_hierarchy_is_read_from_what_is_mounted(tmp_path: Path, files, found):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert cgroups.hierarchy(tmp_path) == found


def test_systemd_is_known_by_its_runtime_folder(tmp_path: Path):
    assert not cgroups.has_systemd(tmp_path)
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    assert cgroups.has_systemd(tmp_path)
