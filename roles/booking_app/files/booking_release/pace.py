"""Giving way: what prepares a release must not take the processor from the one that serves.

Niceness alone decides nothing between services: Linux gives each session a share of its own (sched(7), "The autogroup
feature"), so that the session's is set as well. Where the kernel has no autogroups, niceness is what counts.
"""

import contextlib
import os
import time
from pathlib import Path

GENTLE = 5  # a quarter of what others get of a processor that all want, and all of one that nobody wants
ACTS = {"stage", "remove"}
AT_WORK = {"R", "D"}  # on a processor or wanting one, or in the kernel where nothing wakes it
PATIENCE_S = 5.0
POLL_S = 0.005


def give_way(act: str) -> None:
    """Let this process, and what it starts, give way, if the act is one that nobody waits for on the hosts."""
    if act in ACTS:
        with contextlib.suppress(OSError):
            os.setsid()  # it leads a session already
        os.setpriority(os.PRIO_PROCESS, 0, GENTLE)
        set_session(os.getpid(), GENTLE)


def full_pace(main: int) -> None:
    """Let the session of a service, by its main process, no longer give way.

    What a thread is making is seen only once it is made, with the pace that its maker had at the start: a maker that
    is seen asleep after it was set makes nothing of that kind. One that never sleeps is waited for PATIENCE_S.
    """
    set_session(main, 0)
    known: set[int] = set()
    calm: set[int] = set()
    until = time.monotonic() + PATIENCE_S
    while (found := threads(main)).keys() - calm:
        calm |= {thread for thread in found.keys() & known if found[thread] not in AT_WORK}
        for thread in found.keys() - known:
            with contextlib.suppress(OSError):  # it has ended
                os.setpriority(os.PRIO_PROCESS, thread, 0)
        if found.keys() <= known and time.monotonic() > until:
            return
        known |= found.keys()
        time.sleep(POLL_S)


def set_session(process: int, nice: int) -> None:
    """Set the niceness of a process's session against others; nothing where sessions have none."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(nice))


def threads(session: int) -> dict[int, str]:
    """Every thread of every process of a session, and its state (S sleeps, R runs, ...)."""
    processes = [folder for folder in Path("/proc").iterdir() if folder.name.isdecimal()]
    mine = [folder for folder in processes if _stat(folder)[3:4] == [str(session)]]
    return {int(thread.name): state for folder in mine for thread in _tasks(folder) for state in _stat(thread)[:1]}


def _tasks(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):  # it has ended
        return list((folder / "task").iterdir())
    return []


def _stat(folder: Path) -> list[str]:
    """What proc_pid_stat(5) says after the name, which may hold anything: state, parent, group, session, ..."""
    with contextlib.suppress(OSError):  # it has ended
        return (folder / "stat").read_bytes().rpartition(b")")[2].decode().split()
    return []
