"""What an act is about to do, on disk before it does it, so that whoever comes after a crash can tell."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from . import lock
from .layout import FULL, HelperError, Layout, write_durably


def read(layout: Layout) -> dict[str, Any] | None:
    """The act that is under way, or that was cut off: {act, argument, token, at (UTC)}; None: there is none."""
    try:
        intent: dict[str, Any] = json.loads(layout.intent.read_text())
    except FileNotFoundError:
        return None
    return intent


@contextlib.contextmanager
def noted(layout: Layout, act: str, argument: str, token: int | None) -> Iterator[None]:
    """Keep an intent for as long as the block runs; however it ends in this process, the intent goes.

    But one that lost the lock meanwhile (13) is left to whoever takes it next: there may be something to settle.
    HelperError (13): the lock is not the token's. token: None for a boot, which has nothing to be settled, as what
    it starts does not outlive the next one.
    """
    if token is None:
        yield
        return
    with layout.guard():
        lock.require(layout, token)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        mine = {"act": act, "argument": argument, "token": token, "at": at}
        try:
            write_durably(layout.intent, json.dumps(mine) + "\n")
        except OSError as error:
            # a full disk must not keep a host from being put back; what needs the space fails by itself
            if error.errno not in FULL:
                raise
    lost = False
    try:
        yield
    except HelperError as error:
        lost = error.code == 13
        raise
    finally:
        with layout.guard():
            if not lost and read(layout) == mine:
                layout.intent.unlink()
