"""Who holds the lock, and whether that process still lives. The lock itself is on the hosts."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.release.commands import HELPER
from deploy.release.settings import DEPLOY_USER


def owner(command: str) -> dict[str, Any]:
    """This process as the lock names it: a person can find it, a later run can see that it is dead."""
    pid = os.getpid()
    return {
        "user": getpass.getuser(),
        "machine": machine(),
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "namespace": _namespace(),
        "pid": pid,
        "started": process_start(pid),
        "since": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "command": command,
        "run": run_url(),
    }


def machine() -> str:
    """This machine's name and the system's own id."""
    return f"{socket.gethostname()}/{_read('/etc/machine-id')[:8]}"


def process_start(pid: int) -> str:
    """When a process started (kernel ticks since boot), to tell a reused pid apart; empty if it is gone."""
    stat = _read(f"/proc/{pid}/stat")
    return stat.rpartition(")")[2].split()[19] if stat else ""


def is_dead(held_by: Mapping[str, Any]) -> bool:
    """Whether the owner was a process of this machine that is gone. False for other machines' processes.

    Containers may share a machine's name and boot, and number their processes each for itself: of those that count
    otherwise than this one nothing can be said.
    """
    if held_by.get("machine") != machine() or held_by.get("namespace") != _namespace():
        return False
    if held_by.get("boot") != _read("/proc/sys/kernel/random/boot_id"):
        return True
    return process_start(int(held_by.get("pid", 0))) != held_by.get("started")


def describe(held: Mapping[str, Any]) -> str:
    """One sentence: who holds the lock, since when, and when they were last heard of."""
    by = held["owner"]
    run = f", {by['run']}" if by.get("run") else ""
    heard = f", last heard of {held['age_seconds']:.0f} s ago" if "age_seconds" in held else ""
    return (
        f"{by.get('user')} on {by.get('machine')} (process {by.get('pid')}{run}) holds the lock "
        f"since {by.get('since')}{heard}: {by.get('command')}"
    )


def mend(address: str, held: Mapping[str, Any]) -> str:
    """What to do about a lock that another holds."""
    free = f"ssh {DEPLOY_USER}@{address} sudo {HELPER} unlock --token {held['token']}"
    lease = f" {held['lease_seconds']:.0f} s after" if "lease_seconds" in held else " soon after"
    return f"wait for it: --wait; a dead owner's lock frees itself{lease} its last sign of life; or at once: {free}"


def run_url() -> str:
    """The page of the CI run that this is; empty where it is none."""
    environ = os.environ
    if run := environ.get("GITHUB_RUN_ID"):
        return f"{environ.get('GITHUB_SERVER_URL')}/{environ.get('GITHUB_REPOSITORY')}/actions/runs/{run}"
    return environ.get("BUILD_URL", "")  # Jenkins'


def _namespace() -> str:
    """The name space of this process's number, such as "pid:[4026531836]"; empty where there is none."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
