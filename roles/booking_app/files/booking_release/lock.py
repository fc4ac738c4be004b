"""The lock of a host: who may act, by a token that only rises."""

import json
from typing import Any

from .layout import HelperError, Layout, write_durably


def held(layout: Layout) -> dict[str, Any] | None:
    """The lock: its token and owner; None when it is free."""
    try:
        lock: dict[str, Any] = json.loads(layout.lock.read_text())
    except FileNotFoundError:
        return None
    return lock


def take(layout: Layout, owner: dict[str, Any], replace: int | None) -> dict[str, Any]:
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


def release(layout: Layout, token: int) -> dict[str, Any]:
    """Give the lock back. Somebody else's lock is left alone."""
    with layout.guard():
        lock = held(layout)
        mine = lock is not None and lock["token"] == token
        if mine:
            layout.lock.unlink()
        return {"released": mine}


def require(layout: Layout, token: int) -> None:
    """HelperError (13) unless the lock is held with this token."""
    lock = held(layout)
    if lock is None:
        raise HelperError("the lock of this host is not held: take it first", code=13)
    if lock["token"] != token:
        raise HelperError(f"the lock of this host belongs to {json.dumps(lock['owner'])}", code=13)
