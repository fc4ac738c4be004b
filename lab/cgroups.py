"""Where a host's processes live: one control group a host, on every kind of machine.

Without a group of its own a host would share its systemd's control groups with its neighbours,
and `systemctl kill nginx` on one would end nginx on all of them.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Placement:
    """How to start a process tree in a control group of its own.

    *prefix* is put before the command (a systemd scope); *join* are the control group folders to
    create and enter by hand before the command starts. Exactly one of them is non-empty.
    """

    prefix: tuple[str, ...]
    join: tuple[Path, ...]


def choose(*, systemd: bool, hierarchy: str, unit: str) -> Placement:
    """The placement for *unit* on a machine whose PID 1 is systemd or not.

    *hierarchy* is "unified" (cgroups v2 alone) or "hybrid" (v1 controllers with v2 mounted at
    `unified`). Raises ValueError for anything else: Debian 13's systemd refuses to run on v1 alone.
    """
    if hierarchy not in {"unified", "hybrid"}:
        raise ValueError(f"control group hierarchy {hierarchy!r} cannot carry a Debian 13 host")
    if systemd:
        command = ("systemd-run", "--scope", "--quiet", "--collect", f"--unit={unit}")
        return Placement((*command, "--property=Delegate=yes", "--"), ())
    if hierarchy == "unified":
        return Placement((), (ROOT / unit,))
    return Placement((), (ROOT / "unified" / unit, ROOT / "systemd" / unit))


def has_systemd(root: Path = Path("/")) -> bool:
    """Whether PID 1 is systemd (sd_booted(3))."""
    return (root / "run/systemd/system").is_dir()


def hierarchy(root: Path = ROOT) -> str:
    """"unified", "hybrid" or "legacy", by what is mounted below *root*."""
    if (root / "cgroup.controllers").exists():
        return "unified"
    if (root / "unified/cgroup.procs").exists() and (root / "systemd/cgroup.procs").exists():
        return "hybrid"
    return "legacy"


def folders(unit: str) -> list[Path]:
    """The control group folders that *unit* has now, whichever way it was placed."""
    names = (f"{unit}.scope", unit)
    tops = (ROOT, ROOT / "unified", ROOT / "systemd")
    parents = [top / slice_ for top in tops for slice_ in ("", "system.slice")]
    return [parent / name for parent in parents for name in names if (parent / name).is_dir()]


def processes(unit: str) -> list[int]:
    """The ids of all processes of *unit*, its sub-groups included; [] if it does not exist."""
    found: set[int] = set()
    for folder in folders(unit):
        for group, _, _ in os.walk(folder):  # unlike Path.rglob it passes over a group that goes away meanwhile
            try:
                found.update(int(line) for line in Path(group, "cgroup.procs").read_text().split())
            except OSError:
                continue  # it went away while it was being read, or it is a threaded one
    return sorted(found)


def host_init(unit: str) -> int | None:
    """The machine-side process id of the init of the host in *unit*: PID 1 of a nested namespace."""
    for pid in processes(unit):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        ids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(ids) > 1 and ids[-1] == "1":
            return pid
    return None


def end(unit: str, *, seconds: float = 10.0) -> None:
    """Kill every process of *unit* and remove its control groups.

    Raises TimeoutError when a process outlives SIGKILL for *seconds* (stuck in the kernel).
    """
    deadline = time.monotonic() + seconds
    while pids := processes(unit):
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {pids} of {unit} do not end")
        time.sleep(0.02)
    if has_systemd():
        subprocess.run(["systemctl", "stop", f"{unit}.scope"], check=False, capture_output=True)
    for top in folders(unit):
        for folder in sorted([*top.rglob("*"), top], key=lambda path: -len(path.parts)):
            if folder.is_dir():
                _remove(folder, deadline)


def _remove(folder: Path, deadline: float) -> None:
    """Remove a control group, waiting for the kernel to forget the processes it has just buried."""
    while folder.is_dir():
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
