"""Running a job: as its user, for so long and no longer, with everything that it starts."""

import ctypes
import os
import pwd
import signal
import subprocess
import time
from dataclasses import dataclass
from types import FrameType

from .jobs import CronError, Job

GRACE_SECONDS = 15  # from the word to end to the end by force; booking-manage needs up to 10
TIMED_OUT = 124  # as timeout(1) answers
PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True)
class Outcome:
    """How a run ended. code: its exit status, 128 + N for signal N. seconds: how long it took."""

    code: int
    seconds: float


def lease_seconds(job: Job) -> int:
    """How long a job can run at most, whatever becomes of it, and a little."""
    return job.timeout_seconds + GRACE_SECONDS + 5


def run(job: Job) -> Outcome:
    """Run a job to its end. What it prints goes where this program's output goes.

    When its time is over, or this program is told to end, it and all of its processes are told to end (TERM), and
    ended (KILL) if they have not after 15 s. CronError: it cannot be started.
    """
    started = time.monotonic()
    process = _start(job)

    def stop(signum: int, _: FrameType | None) -> None:
        raise _ToldToEndError(signum)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        code = process.wait(timeout=job.timeout_seconds)
    except subprocess.TimeoutExpired:
        print(f"{job.name} has run for {job.timeout_seconds} s, which is all it may: it is ended", flush=True)
        code = TIMED_OUT
    except _ToldToEndError as told:
        code = -told.signum
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end(process)
        signal.signal(signal.SIGTERM, before)
    return Outcome(128 - code if code < 0 else code, time.monotonic() - started)


class _ToldToEndError(Exception):
    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def _start(job: Job) -> "subprocess.Popen[bytes]":
    """A session of its own, so that it can be ended as a whole; ended with this program, whatever ends that."""
    library = ctypes.CDLL(None)
    try:
        who = pwd.getpwnam(job.user)
        other = who.pw_uid != os.geteuid()  # only root may be somebody else
        return subprocess.Popen(
            job.words, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/",
            user=who.pw_uid if other else None, group=who.pw_gid if other else None,
            extra_groups=os.getgrouplist(job.user, who.pw_gid) if other else None,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": who.pw_dir, "LOGNAME": job.user,
                 "USER": job.user},
            preexec_fn=lambda: library.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),
        )  # fmt: skip
    except KeyError:
        raise CronError(f"{job.name} cannot be run: there is no user {job.user}") from None
    except (OSError, subprocess.SubprocessError) as error:
        raise CronError(f"{job.name} cannot be run: {error}") from None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what is left of a process group; none is left where it ended by itself and cleaned up."""
    deadline = time.monotonic() + GRACE_SECONDS
    if not _tell(process.pid, signal.SIGTERM):
        return
    while time.monotonic() < deadline:
        process.poll()  # a child that nobody has waited for still counts as one of the group
        if not _tell(process.pid, 0):
            return
        time.sleep(0.05)
    _tell(process.pid, signal.SIGKILL)
    process.wait()


def _tell(group: int, signum: int) -> bool:
    """Whether there is anybody in the group to be told."""
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    return True
