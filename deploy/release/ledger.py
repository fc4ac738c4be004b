"""What was done, as the hosts remember it, and what follows from it: where to roll back to, what to keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

BEGUN, GOOD, FAILED, INTERRUPTED, UNDONE = "begun", "good", "failed", "interrupted", "undone"
REQUIRED = {"id", "action", "release", "outcome", "started", "finished", "who"}


@dataclass(frozen=True)
class Entry:
    """One run. started, finished: UTC, ISO 8601. seconds: by step. previous: what served before, by host.

    outcome: `begun` is written before the first step; what a later command finds so was killed, and ends as
    `good` or as `undone`. `interrupted`: put back for a reason that is not the release's. without: hosts that were
    left out or lost. measured: what clients got, as the probe counted it. commit, author, subject, built_by,
    built_at: of the release, "" where it is not known.
    """

    id: str
    action: str
    release: str
    outcome: str
    started: str
    finished: str
    who: str
    machine: str = ""
    run_url: str = ""
    command: str = ""
    previous: Mapping[str, str | None] = field(default_factory=dict)
    without: Sequence[str] = ()
    migrated: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, Any] | None = None
    commit: str = ""
    author: str = ""
    subject: str = ""
    built_by: str = ""
    built_at: str = ""
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The entry as a JSON object."""
        return asdict(self)


def merge(ledgers: Iterable[Iterable[Mapping[str, Any]]]) -> list[Entry]:
    """The entries of all hosts, each once, oldest first. Hosts that joined late have fewer.

    A run has several lines: the later one holds. One that is only begun on a host has ended, if another host
    knows how: controllers' clocks do not count there.
    """
    known = set(Entry.__dataclass_fields__)
    items = (item for ledger in ledgers for item in ledger if set(item) >= REQUIRED)
    entries = [Entry(**{key: value for key, value in item.items() if key in known}) for item in items]
    found = {entry.id: entry for entry in sorted(entries, key=lambda entry: (entry.outcome != BEGUN, entry.finished))}
    return sorted(found.values(), key=lambda entry: (entry.started, entry.id))


def unfinished(entries: Sequence[Entry]) -> Entry | None:
    """The run that was killed; None if the last one has ended. Of earlier ones nothing is left by then."""
    return entries[-1] if entries and entries[-1].outcome == BEGUN else None


def about(release: str, entries: Iterable[Entry]) -> dict[str, str]:
    """What the ledger knows of a release itself, as fields of a new entry; empty if it was never deployed."""
    known = ("commit", "author", "subject", "built_by", "built_at")
    last = next((entry for entry in reversed(list(entries)) if entry.release == release and entry.commit), None)
    return {name: str(getattr(last, name)) for name in known} if last else {}


def now(entries: Sequence[Entry] = ()) -> str:
    """This instant, as entries hold it; later than all of `entries`, even where another machine's clock is ahead."""
    instant = datetime.now(UTC)
    if entries:
        last = datetime.fromisoformat(max(entry.started for entry in entries))
        instant = max(instant, last + timedelta(microseconds=1))
    return f"{instant:%Y-%m-%dT%H:%M:%S.%fZ}"


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
    brought = [entry for entry in entries if entry.action in ("deploy", "rollback")]  # a failed restart is no verdict
    last = {entry.release: entry.outcome for entry in brought if entry.outcome in (GOOD, FAILED)}
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
