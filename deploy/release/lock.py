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
        "pid": pid,
        "started": process_start(pid),
        "since": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "command": command,
        "run": _run_url(),
    }


def machine() -> str:
    """This machine's name and the system's own id."""
    return f"{socket.gethostname()}/{_read('/etc/machine-id')[:8]}"


def process_start(pid: int) -> str:
    """When a process started (kernel ticks since boot), to tell a reused pid apart; empty if it is gone."""
    stat = _read(f"/proc/{pid}/stat")
    return stat.rpartition(")")[2].split()[19] if stat else ""


def is_dead(held_by: Mapping[str, Any]) -> bool:
    """Whether the owner was a process of this machine that is gone. False for other machines' processes."""
    if held_by.get("machine") != machine():
        return False
    if held_by.get("boot") != _read("/proc/sys/kernel/random/boot_id"):
        return True
    return process_start(int(held_by.get("pid", 0))) != held_by.get("started")


def describe(held: Mapping[str, Any]) -> str:
    """One sentence: who holds the lock and since when."""
    by = held["owner"]
    run = f", {by['run']}" if by.get("run") else ""
    return (
        f"{by.get('user')} on {by.get('machine')} (process {by.get('pid')}{run}) holds the lock "
        f"since {by.get('since')}: {by.get('command')}"
    )


def mend(address: str, held: Mapping[str, Any]) -> str:
    """What to do about a lock that another holds."""
    free = f"ssh {DEPLOY_USER}@{address} sudo {HELPER} unlock --token {held['token']}"
    return f"wait until it ends; if that process is dead: {free}"


def _run_url() -> str:
    environ = os.environ
    if run := environ.get("GITHUB_RUN_ID"):
        return f"{environ.get('GITHUB_SERVER_URL')}/{environ.get('GITHUB_REPOSITORY')}/actions/runs/{run}"
    return environ.get("BUILD_URL", "")  # Jenkins'


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
