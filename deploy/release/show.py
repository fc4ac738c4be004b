"""Text for people, and JSON for programs: what a run did, the releases, the state of an environment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from deploy.release import migrations
from deploy.release.plan import Action
from deploy.release.preflight import PLAN

if TYPE_CHECKING:
    from deploy.release.artefact import Artefact
    from deploy.release.ledger import Entry
    from deploy.release.run import Summary
    from deploy.release.state import HostState
    from deploy.release.survey import Release, Status

ENTRIES = 10
SHOWN = 12  # characters of a commit's author and the like that a row has room for
TO_LIVE = (Action.STAGE, Action.MIGRATE, Action.START, Action.SWAP, Action.VERIFY, Action.CANARY)


def artefact(built: Artefact) -> str:
    """The release's id, then each part with its size (MB), sha256 and file."""
    parts = [
        [name, f"{part.size / 1e6:.1f} MB", part.sha256[:16], str(part.path)]
        for name, part in sorted(built.parts.items())
    ]
    return f"{built.release}\n{table([['part', 'size', 'sha256', 'file'], *parts])}"


def summary(done: Summary) -> str:
    """What a run did: the release and its hosts, what clients got meanwhile, and how long it took."""
    hosts = ", ".join(done.hosts)
    if not done.changed:
        return "\n".join([f"{done.release} serves every host already; nothing to do", *_rows(_else(done))])
    rows = [
        ("from", previous(done.previous)),
        ("migrations", migrations.told(done.migrated) or "none"),
        ("clients", measured(done.measured)),
        ("live", f"{live(done.seconds):.2f} s after the first change of a host"),
        ("total", f"{done.total:.2f} s"),
    ]
    return "\n".join([f"{done.action}: {done.release} serves {hosts}", *_rows([*rows, *_else(done)])])


def previous(before: Mapping[str, str | None]) -> str:
    """What served before: once where hosts agreed, else by host."""
    found = {release or "nothing" for release in before.values()}
    if len(found) == 1:
        return found.pop()
    return ", ".join(f"{release or 'nothing'} ({host})" for host, release in before.items()) or "nothing"


def measured(found: Mapping[str, Any] | None) -> str:
    """A measurement in one line: requests, failures, quantiles, the longest time without a good answer, the rate."""
    if not found:
        return "not measured"
    failed = f"{found['failures']} failed"
    if found["failures"]:
        failed += f" ({found['counted']} of them count against the release)"
    speed = f"p50 {_ms(found['p50_ms'])}, p99 {_ms(found['p99_ms'])}, longest gap {_ms(found['longest_gap_ms'])}"
    return f"{found['requests']} requests at {found['rate']:.0f}/s, {failed}, {speed}"


def live(seconds: Mapping[str, float]) -> float:
    """How long a run took from the first change of a host until the release served everywhere (seconds).

    seconds: by step.
    """
    return sum(took for title, took in seconds.items() if title.startswith(tuple(act.value for act in TO_LIVE)))


def releases(found: Sequence[Release]) -> str:
    """A row for each release: what became of it, who brought it and from where, how clients fared, where it is."""
    if not found:
        return "no release yet: fab deploy"
    heading = ["release", "commit", "author", "last", "when", "migrations", "by", "clients meanwhile", "where"]
    rows = [
        [
            row.id, row.last.commit[:10], row.last.author, f"{row.last.action} {row.last.outcome}",
            _when(row.last), _migrations(row.migrated), _by(row.last), _short(row.last.measured),
            _where(row) or "-",
        ]
        for row in found
    ]  # fmt: skip
    return table([heading, *rows])


def status(found: Status) -> str:
    """Hosts by what they run, what the balancers answer, held locks, and the last runs."""
    hosts = [
        [state.name, state.current or "nothing", _running(state), str(len(state.releases)), _notes(state)]
        for state in found.states
    ]
    blocks = [table([["host", "release", "serving", "kept", "notes"], *hosts])] if hosts else []
    blocks += [f"{name + ': ' if name else ''}{why}" for name, why in found.missing.items()]
    blocks += [f"load balancer {address}: {answer}" for address, answer in found.answers.items()]
    blocks += [
        f"load balancer {name}: maintenance is on, Retry-After {state['retry_after']} s; fab maintenance --off"
        for name, state in found.maintenance.items()
        if state["on"]
    ]
    blocks += [f"{host}: {text}" for host, text in found.locks.items()]
    if runs := [_run(entry) for entry in found.entries[-ENTRIES:]]:
        blocks += ["", table([["started", "what", "release", "outcome", "took", "who", "clients meanwhile"], *runs])]
    return "\n".join(blocks)


def as_json(found: object) -> str:
    """A dataclass, or a list of them, as JSON text: every field by its name, whatever it holds in turn."""

    def fields(item: object) -> Any:
        return asdict(item) if is_dataclass(item) and not isinstance(item, type) else str(item)

    return json.dumps(found, indent=2, default=fields)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned, the first row as heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    return [f"  {name:<{SHOWN}} {text}" for name, text in rows]


def _else(done: Summary) -> list[tuple[str, str]]:
    drained = [("left out", f"{host}; drained until: fab join {host}") for host in done.without]
    # what was to be migrated is told by what was migrated
    return [*drained, *(("note", note) for note in done.notes if not note.startswith(PLAN))]


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"


def _short(found: Mapping[str, Any] | None) -> str:
    return f"{found['failures']}/{found['requests']} failed, gap {_ms(found['longest_gap_ms'])}" if found else "-"


def _migrations(names: Sequence[str]) -> str:
    """The last one by name, the others as a number: a first release has dozens. --json has them all."""
    return f"{names[-1]}{f' and {len(names) - 1} more' if names[1:] else ''}" if names else "none"


def _when(entry: Entry) -> str:
    return entry.started[:19] + "Z"


def _by(entry: Entry) -> str:
    return f"{entry.who}@{entry.machine}" + (f" {entry.run_url}" if entry.run_url else "")


def _where(row: Release) -> str:
    places = [("live", row.live), ("warm", row.warm)]
    return "; ".join(f"{word} on {', '.join(hosts)}" for word, hosts in places if hosts)


def _run(entry: Entry) -> list[str]:
    return [
        _when(entry), entry.action, entry.release, entry.outcome, f"{sum(entry.seconds.values()):.1f} s",
        _by(entry), _short(entry.measured),
    ]  # fmt: skip


def _running(state: HostState) -> str:
    if state.activation is None:
        return "nothing"
    return state.activation + ("" if state.activation in state.running else " (not running)")


def _notes(state: HostState) -> str:
    others = [name for name in state.running if name not in (state.activation, *state.warm)]
    said = [
        "drained" if state.drained else "",
        "outdated settings: fab restart" if state.stale else "",
        f"warm: {', '.join(state.warm)}" if state.warm else "",
        f"also runs {', '.join(others)}" if others else "",
    ]
    return "; ".join(filter(None, said))
