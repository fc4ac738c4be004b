"""What a host remembers: the ledger; and its state in one answer."""

import json
import os
import shutil
from typing import Any

from .layout import HelperError, Layout
from .lock import held
from .store import staged
from .units import current_activation, current_release, running

LEDGER_ENTRIES = 200


def append_ledger(layout: Layout, entry: dict[str, Any]) -> dict[str, Any]:
    """Add one line to the ledger, on disk before the answer. An entry without an id is refused."""
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise HelperError("a ledger entry is a JSON object with an id", code=2)
    with layout.guard(), layout.ledger.open("a+") as handle:
        # A line that a crash cut short must not take the next one with it.
        handle.seek(0)
        torn = (handle.read() or "\n")[-1] != "\n"
        handle.write(("\n" if torn else "") + json.dumps(entry, sort_keys=True) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    return {"recorded": entry["id"]}


def read_ledger(layout: Layout) -> list[dict[str, Any]]:
    """The last entries, oldest first. A line cut short by a crash is passed over."""
    entries: list[dict[str, Any]] = []
    if not layout.ledger.exists():
        return entries
    for line in layout.ledger.read_text().splitlines()[-LEDGER_ENTRIES:]:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def status(layout: Layout) -> dict[str, Any]:
    """Everything that the engine wants to know of this host, in one round trip."""
    return {
        "current": current_release(layout),
        "activation": current_activation(layout),
        "running": running(),
        "releases": staged(layout),
        "venvs": sorted(path.name for path in layout.venvs.iterdir()),
        "ledger": read_ledger(layout),
        "lock": held(layout),
        "free_bytes": shutil.disk_usage(layout.srv).free,
    }
