"""The sandbox itself: several stand side by side, a killed `up` is finished by the next, `down` leaves nothing."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from lab import cgroups, state
from tests.fleet.conftest import ROOT, tool

OTHER = "lab-other"


def lab_command(*arguments):
    return [sys.executable, "-m", "lab", "--lab", OTHER, *arguments]


def lab_run(*arguments, timeout=600):
    return subprocess.run(
        lab_command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def traces():
    """Everything of the machine that a sandbox touches, but for what belongs to the other sandboxes."""
    own = state.identify(OTHER, ROOT)

    def said(*command):
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()

    return {
        "mounts": [row for row in Path("/proc/mounts").read_text().splitlines() if own in row],
        "links": sorted(row.split()[1] for row in said("ip", "-o", "link") if "nexus" in row or "vb-" in row),
        "tables": sorted(said("nft", "list", "tables")),
        "routes": sorted(said("ip", "route", "show", "table", "all")),
        "cgroups": [str(path) for path in cgroups.ROOT.rglob(f"*{own}*")],
        "processes": [
            row for row in said("ps", "-eo", "args") if own in row and "pytest" not in row and "ps -eo" not in row
        ],
        "files": [str(path) for top in (state.LABS, Path("/run/nexus")) for path in top.glob(f"{own}*")],
        "inventory": [str(path) for path in (ROOT / "inventories").glob(OTHER)],
        "ip_forward": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
    }


@pytest.fixture
def clean():
    lab_run("down")
    before = traces()
    yield before
    lab_run("down")


@pytest.fixture
def other(clean):
    done = lab_run("up", "--size", "solo", "--hosts-only")
    assert done.returncode == 0, done.stdout + done.stderr
    found = state.load(OTHER)
    assert found is not None
    return found


def test_two_sandboxes_stand_side_by_side_and_down_leaves_nothing_of_the_one(clean, lab, client):
    done = lab_run("up", "--size", "solo", "--hosts-only")
    assert done.returncode == 0, done.stdout + done.stderr
    found = state.load(OTHER)
    assert found is not None
    assert found.topology.ipv4 != lab.topology.ipv4
    during = traces()
    for kind in ("mounts", "cgroups", "processes", "files", "inventory"):
        assert during[kind], f"the control: {kind} of a raised sandbox are seen"
    assert during["tables"] != clean["tables"]
    assert client.request("GET", "/healthz").status_code == 200
    assert lab_run("down").returncode == 0
    assert traces() == clean
    assert client.request("GET", "/healthz").status_code == 200


def test_down_twice_is_no_error(clean):
    assert lab_run("down").returncode == 0
    assert lab_run("down").returncode == 0


def test_up_killed_at_any_point_is_completed_by_the_next(clean, soak):
    for seconds in (0.3, 0.7, 1.2, 2, 3, 5, 8) if soak else (0.7, 2.5):
        process = subprocess.Popen(
            lab_command("up", "--size", "solo", "--hosts-only"), cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )
        time.sleep(seconds)  # the point of the kill, not a wait for anything
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = lab_run("up", "--size", "solo", "--hosts-only")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runs" in lab_run("status").stdout
    assert lab_run("down").returncode == 0
    assert traces() == clean


def test_interrupted_up_says_how_to_go_on(clean):
    process = subprocess.Popen(
        lab_command("up", "--size", "solo", "--hosts-only"), cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "hosts:" in line or "outside" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "make down" in said
    assert "Traceback" not in said


def test_host_orphaned_by_the_death_of_its_supervisor_is_taken_over(other):
    unit = other.unit(other.topology.fleet[0])
    for pid, name in programs(unit).items():
        if name in {"sh", "systemd-nspawn"} and cgroups.host_init(unit) != pid:
            os.kill(pid, signal.SIGKILL)
    assert lab_run("up", "--hosts-only").returncode == 0
    assert "systemd-nspawn" in programs(unit).values()


def programs(unit):
    """The processes of a host by their number; those that end while they are listed are not among them."""
    found = {}
    for pid in cgroups.processes(unit):
        with suppress(OSError):
            found[pid] = Path(f"/proc/{pid}/comm").read_text().strip()
    return found


def test_crashed_host_is_started_by_the_next_up(other):
    name = other.topology.fleet[0].name
    assert lab_run("crash", name).returncode == 0
    assert "down" in lab_run("status").stdout
    assert lab_run("up", "--hosts-only").returncode == 0
    assert "down" not in lab_run("status").stdout


def test_sandbox_of_a_checkout_that_is_gone_is_removed_by_the_next_up(clean, tmp_path):
    """What a continuous integration run leaves: its processes are ended, its folder deleted, its mounts stay."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    done = subprocess.run(
        lab_command("up", "--size", "solo", "--hosts-only"), cwd=clone, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    left = state.identify(OTHER, clone)
    for host in ("solo1", "outside", "door"):
        for pid in cgroups.processes(f"nexus-{left}-{host}"):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(clone)
    assert left in Path("/proc/mounts").read_text(), "the control: its mounts are still there"
    assert lab_run("up", "--size", "solo", "--hosts-only").returncode == 0
    assert left not in Path("/proc/mounts").read_text()
    assert not list(state.LABS.glob(left))
    assert lab_run("down").returncode == 0
    assert traces() == clean


def test_machine_without_the_right_to_mount_is_told_before_anything_is_made(clean):
    done = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin", *lab_command("up", "--size", "solo")], cwd=ROOT,
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 10
    assert "CAP_SYS_ADMIN" in done.stderr
    assert "mend:" in done.stderr
    assert "Traceback" not in done.stderr
    assert traces() == clean


def test_mirror_that_cannot_be_reached_is_told_with_the_log(clean, monkeypatch, tmp_path):
    """In a network namespace with nothing in it, and an empty image cache, there is no mirror to be had."""
    run = (
        "import sys; from pathlib import Path; from lab import image, __main__ as m;"
        f"image.CACHE = Path({str(tmp_path)!r}); sys.argv = ['lab', '--lab', {OTHER!r}, 'up', '--size', 'solo'];"
        "sys.exit(m.main())"
    )
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", run], cwd=ROOT, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 10, done.stdout + done.stderr
    assert "mirror" in done.stderr
    assert "image.log" in done.stderr
    assert "Traceback" not in done.stderr
    assert traces() == clean


def test_deploy_to_hosts_that_were_never_converged_is_refused(other):
    done = tool("fab", "deploy", "--ref", "HEAD", "--env", OTHER)
    assert done.returncode == 14, done.stdout + done.stderr
    assert "site.yml" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_size_of_a_raised_sandbox_cannot_be_changed_in_passing(other):
    done = lab_run("up", "--size", "small", "--hosts-only")
    assert done.returncode == 2
    assert "make down LAB=lab-other" in done.stderr


@pytest.mark.parametrize("name", ["production", "lab-", "lab_x", "../lab", "lab-UPPER"])
def test_unfit_name_is_refused(name):
    done = subprocess.run(
        [sys.executable, "-m", "lab", "--lab", name, "up"], cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 2
    assert name in done.stderr
