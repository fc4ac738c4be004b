"""What an environment runs: asked of everyone at once, changing nothing, and told even where some do not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.inventory import Fleet
from deploy.release import lock
from deploy.release.ledger import Entry
from deploy.release.run import Run
from deploy.release.settings import Settings
from deploy.release.state import HostState
from deploy.release.verify import Answer


@dataclass(frozen=True)
class Status:
    """What an environment runs.

    states: hosts that answered; missing: those that did not, and why. entries: the ledger, oldest first. locks: by
    host, who holds it. answers: each balancer's to a request, by address. maintenance: of each balancer by name,
    {on, retry_after (seconds), since (Unix time, None while it is off)}.
    """

    states: Sequence[HostState]
    entries: Sequence[Entry]
    locks: Mapping[str, str]
    answers: Mapping[str, Answer]
    missing: Mapping[str, str] = field(default_factory=dict)
    maintenance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Release:
    """One release as the ledger and the hosts know it. last: its newest entry. live, warm: names of hosts.

    migrated: what its deploys applied.
    """

    id: str
    last: Entry
    migrated: Sequence[str]
    live: Sequence[str]
    warm: Sequence[str]


def status(fleet: Fleet, wanted: Settings) -> Status:
    """Ask every host and every balancer."""
    with Run(fleet, wanted, "fab status") as run:
        found = run.read()
        return Status(
            run.states,
            run.entries,
            {host: lock.describe(said["lock"]) for host, said in found.items() if said["lock"]},
            {address: run.balancers.ask(address) for address in run.balancers.addresses},
            {problem.where: problem.what for problem in run.missing()},
            {
                name: {"on": each.maintenance, "retry_after": each.retry_after, "since": each.since}
                for name, each in run.standing.items()
            },
        )


def releases(found: Status) -> list[Release]:
    """Every release that the ledger knows, the last one that was touched first."""
    by_release: dict[str, list[Entry]] = {}
    for entry in sorted(found.entries, key=lambda entry: entry.started):
        by_release.setdefault(entry.release, []).append(entry)
    rows = [
        Release(
            release, entries[-1],
            [name for entry in entries for name in entry.migrated],
            [state.name for state in found.states if state.serving() == release],
            [state.name for state in found.states if state.warm_of(release)],
        )
        for release, entries in by_release.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: row.last.started, reverse=True)
