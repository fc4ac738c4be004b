"""What a host remembers: the ledger; and its state in one answer."""

import json
import os
from pathlib import Path
from typing import Any

from . import intent
from .activations import current_activation, current_release, is_fresh
from .layout import FULL, HelperError, Layout, write_volatile
from .lock import held
from .marks import settings_digest
from .store import migrations_of, staged, static_of
from .systemd import RUNNING, WEB, loaded

LEDGER_ENTRIES = 200


def append_ledger(layout: Layout, entry: dict[str, Any]) -> dict[str, Any]:
    """Add one line to the ledger, on disk before the answer. An entry without an id is refused.

    A full disk must not keep a host from being put back: the line then waits in memory for the next one that finds
    room, and is told like any other meanwhile.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise HelperError("a ledger entry is a JSON object with an id", code=2)
    with layout.guard():
        lines = [*lines_of(layout)[1], json.dumps(entry, sort_keys=True)]
        try:
            append(layout.ledger, lines)
        except OSError as error:
            if error.errno not in FULL:
                raise
            write_volatile(layout.spill, "\n".join(lines))
        else:
            layout.spill.unlink(missing_ok=True)
    return {"recorded": entry["id"]}


def append(path: Path, lines: list[str]) -> None:
    """Add lines to a file, on disk before this returns: all of them, or none with an OSError."""
    with path.open("ab+", buffering=0) as handle:
        os.fchmod(handle.fileno(), 0o600)  # a failure's last lines may quote what the application wrote
        # A line that a crash cut short must not take the next one with it.
        end = handle.seek(0, os.SEEK_END)
        handle.seek(max(end - 1, 0))
        torn = handle.read(1) not in (b"\n", b"")
        data = (("\n" if torn else "") + "\n".join(lines) + "\n").encode()
        try:
            while data:
                data = data[handle.write(data) :]
            os.fsync(handle.fileno())
        except OSError:
            handle.truncate(end)
            raise


def lines_of(layout: Layout) -> tuple[list[str], list[str]]:
    """The ledger's lines on disk; and those that wait for room there. Call it inside `guard`."""
    kept = layout.ledger.read_text().splitlines() if layout.ledger.exists() else []
    waiting = layout.spill.read_text().splitlines() if layout.spill.exists() else []
    # one that was cut off may have written them already: a second time, they would be told after what came later
    return kept, [line for line in waiting if line not in kept]


def read_ledger(layout: Layout) -> list[dict[str, Any]]:
    """The last entries, oldest first. A line cut short by a crash is passed over. Call it inside `guard`."""
    entries: list[dict[str, Any]] = []
    kept, waiting = lines_of(layout)
    for line in [*kept, *waiting][-LEDGER_ENTRIES:]:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def status(layout: Layout) -> dict[str, Any]:
    """Everything that the engine wants to know of this host, in one round trip.

    running: activations of which anything runs, in the order of their starts. warm: those whose web server is up
    and could be switched to as it is. stale: what serves was started with settings that have changed since.
    """
    found, digest, serving = loaded(), settings_digest(layout), current_activation(layout)
    releases, space = staged(layout), os.statvfs(layout.srv)
    with layout.guard():
        ledger, lock = read_ledger(layout), held(layout)
    return {
        "current": current_release(layout),
        "activation": serving,
        "running": [name for name, kinds in found.items() if RUNNING & set(kinds.values())],
        "warm": [
            name
            for name, kinds in found.items()
            # its other processes are ended before it is kept warm: where they run, it was left behind, not kept
            if name != serving and kinds.get(WEB) == "active" and is_fresh(layout, name, digest)
            and not any(kind != WEB and state in RUNNING for kind, state in kinds.items())
        ],
        "stale": serving is not None and not is_fresh(layout, serving, digest),
        "releases": releases,
        "migrations": {release: migrations_of(layout, release) for release in releases},
        "statics": sorted({static_of(layout, release) for release in releases}),
        "venvs": sorted(path.name for path in layout.venvs.iterdir()),
        "ledger": ledger,
        "lock": lock,
        "intent": intent.read(layout),
        "free_bytes": space.f_bavail * space.f_frsize,
    }
