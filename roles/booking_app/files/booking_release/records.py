"""What a host remembers: the lock, the ledger, and its state in one answer."""

import json
import os
import shutil
from typing import Any

from .layout import HelperError, Layout, write_durably
from .store import staged
from .units import current_activation, current_release, running

LEDGER_ENTRIES = 200


def held(layout: Layout) -> dict[str, Any] | None:
    """The lock: its token and owner; None when it is free."""
    try:
        lock: dict[str, Any] = json.loads(layout.lock.read_text())
    except FileNotFoundError:
        return None
    return lock


def take_lock(layout: Layout, owner: dict[str, Any], replace: int | None) -> dict[str, Any]:
    """Take the lock. Answers {"token": number}, or {"held": the lock} when another has it.

    `replace` names the token of a lock whose owner is dead: that one, and no later one, is replaced.
    Tokens only rise, so an owner who lost the lock cannot act any more.
    """
    with layout.guard():
        lock = held(layout)
        if lock is not None and lock["token"] != replace:
            return {"held": lock}
        token = layout.next_number("token")
        write_durably(layout.lock, json.dumps({"token": token, "owner": owner}) + "\n")
        return {"token": token}


def release_lock(layout: Layout, token: int) -> dict[str, Any]:
    """Give the lock back. Somebody else's lock is left alone."""
    with layout.guard():
        lock = held(layout)
        mine = lock is not None and lock["token"] == token
        if mine:
            layout.lock.unlink()
        return {"released": mine}


def require_token(layout: Layout, token: int) -> None:
    """HelperError (13) unless the lock is held with this token."""
    lock = held(layout)
    if lock is None:
        raise HelperError("the lock of this host is not held: take it first", code=13)
    if lock["token"] != token:
        raise HelperError(f"the lock of this host belongs to {json.dumps(lock['owner'])}", code=13)


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
