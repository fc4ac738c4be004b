"""The lock of a host: who may act, by a token that only rises, for as long as its owner shows signs of life.

The lock is on disk; the owner's last sign of life is in memory (/run), by a clock that also counts the time that
the host sleeps. So a host that was rebooted knows of none, and a lock without one has run out.

Taking, renewing and giving back need no room on the disk: a full one must not keep a host from being put back.
"""

import json
import time
from typing import Any

from .layout import HelperError, Layout, overwrite, write_volatile


def now() -> float:
    """Seconds since this host booted, those that it slept included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def held(layout: Layout) -> dict[str, Any] | None:
    """The lock; None when it is free: {token, owner, age_seconds, lease_seconds, expired}. Call it inside `guard`.

    age_seconds: since the owner's last sign of life, or since the boot when there was none since.
    """
    text = layout.lock.read_text().strip() if layout.lock.exists() else ""
    if not text:
        return None
    try:
        lock: dict[str, Any] = json.loads(text)
    except ValueError:  # the power was cut while it was written, which no owner outlives
        lock = {"token": 0, "owner": {}}
    lease, instant = float(layout.settings()["lease_seconds"]), now()
    seen = last_beat(layout, lock["token"])
    age = instant - (seen or 0.0)
    return {
        "token": lock["token"],
        "owner": lock["owner"],
        "age_seconds": round(age, 1),
        "lease_seconds": lease,
        "expired": seen is None or age > lease,
    }


def last_beat(layout: Layout, token: int) -> float | None:
    """When the owner with this token was last heard of, by `now`; None: not since this host booted."""
    try:
        number, instant = layout.beat.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return float(instant) if int(number) == token else None


def take(layout: Layout, owner: dict[str, Any], replace: int | None) -> dict[str, Any]:
    """Take the lock. Answers {"token": number}, or {"held": the lock} when another has it.

    A lock that has run out is replaced, and so is the one whose token `replace` names, because its owner is dead:
    that one, and no later one. Tokens only rise, so an owner who lost the lock cannot act any more.
    """
    with layout.guard():
        lock = held(layout)
        if lock is not None and not lock["expired"] and lock["token"] != replace:
            return {"held": lock}
        return {"token": grant(layout, owner)}


def renew(layout: Layout, token: int) -> dict[str, Any]:
    """Give the owner a new token: whatever it began under the old one cannot act any more."""
    with layout.guard():
        return {"token": grant(layout, require(layout, token)["owner"])}


def grant(layout: Layout, owner: dict[str, Any]) -> int:
    """Make somebody the owner; answers the new token. Call it inside `guard`."""
    token = layout.next_number("token")
    # first the sign of life: a lock without one would have run out before it was taken
    write_volatile(layout.beat, f"{token} {now()}\n")
    overwrite(layout.lock, json.dumps({"token": token, "owner": owner}))
    return token


def release(layout: Layout, token: int) -> dict[str, Any]:
    """Give the lock back. Somebody else's lock is left alone."""
    with layout.guard():
        lock = held(layout)
        mine = lock is not None and lock["token"] == token
        if mine:
            overwrite(layout.lock, "")
        return {"released": mine}


def enter(layout: Layout, token: int) -> None:
    """HelperError (13) unless the lock is held with this token; its lease begins anew."""
    with layout.guard():
        require(layout, token)
        write_volatile(layout.beat, f"{token} {now()}\n")


def require(layout: Layout, token: int) -> dict[str, Any]:
    """The lock; HelperError (13) unless it is held with this token and its lease has not run out."""
    lock = held(layout)
    if lock is None:
        raise HelperError("the lock of this host is not held: take it first", code=13)
    if lock["token"] != token:
        raise HelperError(f"the lock of this host belongs to {json.dumps(lock['owner'])}", code=13)
    if lock["expired"]:
        what = f"the lease of {lock['lease_seconds']:g} s on this host's lock has run out"
        raise HelperError(f"{what}: its owner was last heard of {lock['age_seconds']:g} s ago", code=13)
    return lock
