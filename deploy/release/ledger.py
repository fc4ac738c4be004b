"""What was done, as the hosts remember it, and what follows from it: where to roll back to, what to keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

GOOD, FAILED, INTERRUPTED = "good", "failed", "interrupted"
REQUIRED = {"id", "action", "release", "outcome", "started", "finished", "who"}


@dataclass(frozen=True)
class Entry:
    """One run. started, finished: UTC, ISO 8601. seconds: by step. previous: what served before, by host."""

    id: str
    action: str
    release: str
    outcome: str
    started: str
    finished: str
    who: str
    previous: Mapping[str, str | None] = field(default_factory=dict)
    migrated: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The entry as a JSON object."""
        return asdict(self)


def merge(ledgers: Iterable[Iterable[Mapping[str, Any]]]) -> list[Entry]:
    """The entries of all hosts, each once, oldest first. Hosts that joined late have fewer.

    A run that failed after it was written down as good has a second entry under its id: the later one holds.
    """
    known = set(Entry.__dataclass_fields__)
    items = (item for ledger in ledgers for item in ledger if set(item) >= REQUIRED)
    entries = [Entry(**{key: value for key, value in item.items() if key in known}) for item in items]
    found = {entry.id: entry for entry in sorted(entries, key=lambda entry: entry.finished)}
    return sorted(found.values(), key=lambda entry: (entry.started, entry.id))


def history(entries: Iterable[Entry]) -> list[str]:
    """The good releases as a way back: a deploy goes one further, a rollback returns to where it led."""
    way: list[str] = []
    for entry in entries:
        if entry.outcome != GOOD:
            continue
        if entry.action == "rollback" and entry.release in way:
            while way[-1] != entry.release:
                way.pop()
        elif not way or way[-1] != entry.release:
            way.append(entry.release)
    return way


def last_good(entries: Iterable[Entry]) -> str | None:
    """The release that should serve now; None before the first good deploy."""
    way = history(entries)
    return way[-1] if way else None


def rollback_target(entries: Sequence[Entry], current: Iterable[str | None], staged: set[str]) -> str | None:
    """Where a rollback goes: the good release before the one that serves, if its files are on every host.

    current: what serves, by host. staged: releases that are on every host. A release whose last run failed is
    never chosen. Where hosts disagree (a run was killed half-way) it is the last good release itself.
    """
    way = history(entries)
    last = {entry.release: entry.outcome for entry in entries if entry.outcome in (GOOD, FAILED)}
    broken = {release for release, outcome in last.items() if outcome == FAILED}
    agreed = bool(way) and set(current) == {way[-1]}
    serving = set(current) if agreed else set()
    for release in reversed(way[:-1] if agreed else way):
        if release in staged and release not in broken and release not in serving:
            return release
    return None


def keep(entries: Iterable[Entry], count: int) -> set[str]:
    """The last `count` distinct releases that were good."""
    kept: list[str] = []
    for entry in reversed(list(entries)):
        if entry.outcome == GOOD and entry.release not in kept and len(kept) < count:
            kept.append(entry.release)
    return set(kept)
