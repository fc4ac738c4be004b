"""Ctrl-C and a pipeline's cancellation: the run is undone, and a second Ctrl-C does not cut that short."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

CANCELLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _raise(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _note(_number: int, _frame: FrameType | None) -> None:
    print("         finishing what was begun; this takes a few seconds", flush=True)


@contextlib.contextmanager
def _installed(handler: signal._HANDLER) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it gets the signals
        return
    before = {number: signal.signal(number, handler) for number in CANCELLED}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def handled() -> contextlib.AbstractContextManager[None]:
    """Within: each of the signals raises KeyboardInterrupt."""
    return _installed(_raise)


def deferred() -> contextlib.AbstractContextManager[None]:
    """Within: the signals are answered by a note and nothing else."""
    return _installed(_note)
