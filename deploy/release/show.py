"""Text for people: an artefact, the state of an environment."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.release.artefact import Artefact
from deploy.release.engine import Status

ENTRIES = 10


def artefact(built: Artefact) -> str:
    """The release's id, then each part with its size (MB), sha256 and file."""
    parts = [
        [name, f"{part.size / 1e6:.1f} MB", part.sha256[:16], str(part.path)]
        for name, part in sorted(built.parts.items())
    ]
    return f"{built.release}\n{table([['part', 'size', 'sha256', 'file'], *parts])}"


def status(found: Status) -> str:
    """Hosts by what they run, what the balancers answer, held locks, and the last runs."""
    hosts = [
        [
            state.name,
            state.current or "nothing",
            _running(state.activation, state.running),
            str(len(state.releases)),
        ]
        for state in found.states
    ]
    runs = [
        [entry.started[:19] + "Z", entry.action, entry.release, entry.outcome,
         f"{sum(entry.seconds.values()):.1f} s", entry.who]
        for entry in found.entries[-ENTRIES:]
    ]  # fmt: skip
    blocks = [table([["host", "release", "serving", "kept"], *hosts])]
    blocks += [f"load balancer {address}: {answer}" for address, answer in found.answers.items()]
    blocks += [f"{host}: {text}" for host, text in found.locks.items()]
    if runs:
        blocks += ["", table([["started", "what", "release", "outcome", "took", "who"], *runs])]
    return "\n".join(blocks)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns aligned, the first row as heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _running(activation: str | None, running: Sequence[str]) -> str:
    if activation is None:
        return "nothing"
    if activation not in running:
        return f"{activation} (not running)"
    others = len(running) - 1
    return activation + (f" and {others} more" if others else "")
