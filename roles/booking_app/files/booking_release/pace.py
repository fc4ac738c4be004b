"""Giving way: what prepares a release must not take the processor from the one that serves.

Niceness alone decides nothing between services: Linux gives each session a share of its own (sched(7), "The autogroup
feature"), so that the session's is set as well. Where the kernel has no autogroups, niceness is what counts.
"""

import contextlib
import os
from pathlib import Path

GENTLE = 5  # a quarter of what others get of a processor that all want, and all of one that nobody wants
ACTS = {"stage", "remove"}


def give_way(act: str) -> None:
    """Let this process, and what it starts, give way, if the act is one that nobody waits for on the hosts."""
    if act in ACTS:
        with contextlib.suppress(OSError):
            os.setsid()  # it leads a session already
        os.setpriority(os.PRIO_PROCESS, 0, GENTLE)
        set_session(os.getpid(), GENTLE)


def full_pace(main: int) -> None:
    """Let the session of a service, by its main process, no longer give way."""
    set_session(main, 0)
    known: set[int] = set()
    # a thread made meanwhile has the pace of the one that made it: until there is none that is not known
    while fresh := threads(main) - known:
        for thread in fresh:
            with contextlib.suppress(OSError):  # it has ended
                os.setpriority(os.PRIO_PROCESS, thread, 0)
        known |= fresh


def set_session(process: int, nice: int) -> None:
    """Set the niceness of a process's session against others; nothing where sessions have none."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(nice))


def threads(session: int) -> set[int]:
    """Every thread of every process of a session."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended
                # after the name, which may hold anything: state, parent, group, session (proc_pid_stat(5))
                if int((folder / "stat").read_bytes().rpartition(b")")[2].split()[3]) == session:
                    found |= {int(thread.name) for thread in (folder / "task").iterdir()}
    return found
