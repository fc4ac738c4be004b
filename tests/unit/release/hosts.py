"""Hosts as they say of themselves, for what is pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deploy.release.state import HostState

from .machine import OLD

OLDER = "20251231T000000Z-0000000"


def states(count: int, current: str | None = OLD, *, jobs: int = 0) -> list[HostState]:
    """Hosts that serve the old release, or none; the last `jobs` of them without a web server."""
    running = (f"{current}.1",) if current else ()
    held = (current,) if current else ()
    return [
        HostState(
            f"web{n}", current, running[0] if running else None, running, held, (), web=n <= count - jobs,
            processes=n > count - jobs,
        )
        for n in range(1, count + 1)
    ]  # fmt: skip


def beside(one: HostState, *warm: str, **other: Any) -> HostState:
    """The host with activations kept warm."""
    return replace(one, running=(*warm, *one.running), warm=warm, releases=(OLDER, *one.releases), **other)
