"""What a run shows while it works: in a terminal a live table of hosts by step, elsewhere plain lines with the time."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from deploy.release.live import Table

WIDTH = 34  # of a step's title
WORKING, DONE = "…", "done"  # what a host is told to be, unless more is known


class Report:
    """Shows steps as they end and keeps their seconds by title. May be called from several threads.

    out: standard error unless given, so that standard output holds a command's answer alone. quiet: shows nothing.
    """

    def __init__(self, out: TextIO | None = None, *, quiet: bool = False) -> None:
        self.begun = time.monotonic()
        self.seconds: dict[str, float] = {}
        self._out, self._quiet = out or sys.stderr, quiet
        self._lock = threading.RLock()
        self._hosts: dict[str, str] = {}
        self._table: Table | None = None
        self._depth = 0

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Time a step; what is put into the yielded list is shown beside it.

        Of a step that fails, the line says how far each host got, as far as `host` was told.
        """
        begun, notes = time.monotonic(), list[str]()
        outcome = "failed"
        self._enter(title)
        try:
            yield notes
            outcome = ""
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            took = time.monotonic() - begun
            with self._lock:
                self.seconds[title] = round(self.seconds.get(title, 0) + took, 3)
                beside = "  ".join(filter(None, [outcome, *notes, self._reached() if outcome else ""]))
                self._line(f"{title:<{WIDTH}} {took:6.2f} s  {beside}".rstrip(), bad=bool(outcome))
                self._leave(outcome)

    def host(self, name: str, state: str) -> None:
        """How far a host is in the present step: WORKING, DONE, or a word or two that say more."""
        with self._lock:
            self._hosts[name] = state
            if self._table:
                self._table.host(name, state)

    def say(self, text: str) -> None:
        """Print a line of its own."""
        with self._lock:
            self._line(text)

    def total(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.begun

    def _reached(self) -> str:
        return ", ".join(f"{name}: {'not done' if at == WORKING else at}" for name, at in self._hosts.items())

    def _line(self, text: str, bad: bool = False) -> None:
        line = f"{self.total():7.2f}  {text}"
        if self._quiet:
            return
        if self._table and self._depth:
            self._table.line(line, bad)
        elif live(self._out):
            print(line, file=self._out, flush=True)
        else:
            print(f"{datetime.now(UTC):%H:%M:%SZ} {line}", file=self._out, flush=True)

    def _enter(self, title: str) -> None:
        with self._lock:
            self._hosts = {}
            self._depth += 1
            if self._table is None and not self._quiet and live(self._out):
                # Imported here: a pipeline has no use for it, and it takes a tenth of a second.
                from deploy.release.live import Table

                self._table = Table(self._out)
            if self._table:
                self._table.enter(title)

    def _leave(self, outcome: str) -> None:
        self._depth -= 1
        if self._table:
            self._table.leave(outcome)


def live(out: TextIO) -> bool:
    """Whether `out` is a terminal that can redraw lines, and a person's, not a pipeline's."""
    environ = os.environ
    return out.isatty() and environ.get("TERM", "dumb") not in ("", "dumb") and not environ.get("CI")
