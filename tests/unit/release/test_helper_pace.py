"""What prepares a release gives way to the one that serves, and no longer once it is ready."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .machine import HELPER, Host

IMPORT = f"import sys; sys.path.insert(0, {str(HELPER)!r})\nfrom booking_release import pace\n"
SAYS = "import os; from pathlib import Path\n"
SAYS += "print(os.getpriority(os.PRIO_PROCESS, 0), Path('/proc/self/autogroup').read_text().split()[-1])\n"
# a service that gives way, with a thread of its own and a process that has one as well
SERVICE = """
import os, sys, threading, time
os.setpriority(os.PRIO_PROCESS, 0, max(5, os.getpriority(os.PRIO_PROCESS, 0)))
open("/proc/self/autogroup", "w").write("5")
def stay():
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
stay()
child = os.fork()
if child:
    print(child, flush=True)
else:
    stay()
time.sleep(60)
"""

GENTLE = max(5, os.getpriority(os.PRIO_PROCESS, 0))  # these tests may give way themselves

pytestmark = pytest.mark.usefixtures("autogroups")


@pytest.fixture
def autogroups() -> None:
    """Where the kernel has none, niceness alone is told; every kernel of Debian has them."""
    assert Path("/proc/self/autogroup").exists()


def said(act: str) -> list[str]:
    """The niceness of a process that does an act, and of its session."""
    program = IMPORT + f"pace.give_way({act!r})\n" + SAYS
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)
    return done.stdout.split()


@pytest.mark.parametrize("act", ["stage", "remove"])
def test_what_nobody_waits_for_gives_way(act: str) -> None:
    assert said(act) == ["5", "5"]


@pytest.mark.parametrize("act", ["swap", "start", "status", ""])
def test_what_somebody_waits_for_does_not(act: str) -> None:
    assert said(act)[0] == str(os.getpriority(os.PRIO_PROCESS, 0))


def test_a_service_that_is_ready_has_its_full_pace_in_every_thread(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asks for takes root's rights, and the kernel's answer is looked at on real hosts."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "setpriority", lambda kind, thread, nice: asked.append((thread, nice)))
    command = [sys.executable, "-c", SERVICE]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert service.stdout is not None
        child = int(service.stdout.readline())
        folders = [Path(f"/proc/{process}/task") for process in (service.pid, child)]
        while not all(len(list(folder.iterdir())) == 2 for folder in folders):
            assert service.poll() is None
        threads = [int(thread.name) for folder in folders for thread in folder.iterdir()]
        assert {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads} == {GENTLE}, "the control"
        importlib.import_module("booking_release.pace").full_pace(service.pid)
        assert sorted(asked) == sorted((thread, 0) for thread in threads)
        assert Path(f"/proc/{service.pid}/autogroup").read_text().split()[-1] == "0"
    finally:
        os.killpg(service.pid, 9)
        service.wait()


def test_what_is_still_being_made_when_its_maker_is_set_is_set_too(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is in no list until it is forked, and has the niceness that its parent had when that began."""
    pace = importlib.import_module("booking_release.pace")
    seen = iter([{1: "S"}, {1: "R"}, {1: "D"}, {1: "R", 2: "R"}])
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(pace, "threads", lambda main: next(seen, {1: "S", 2: "S"}))
    monkeypatch.setattr(os, "setpriority", lambda kind, thread, nice: asked.append((thread, nice)))
    pace.full_pace(2**22)
    assert asked == [(1, 0), (2, 0)]


def test_a_service_that_never_sleeps_is_not_waited_for_without_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = importlib.import_module("booking_release.pace")
    monkeypatch.setattr(pace, "PATIENCE_S", -1.0)
    seen, asked = iter([{1: "R"}, {1: "R", 2: "R"}]), []
    monkeypatch.setattr(pace, "threads", lambda main: next(seen, {1: "R", 2: "R"}))
    monkeypatch.setattr(os, "setpriority", lambda kind, thread, nice: asked.append(thread))
    pace.full_pace(2**22)
    assert asked == [1, 2], "what is new is set before anybody loses patience"
