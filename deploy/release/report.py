"""What a run prints while it works: one line a step, with its time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Report:
    """Prints steps as they end and keeps their seconds by title."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """Time a step; what is put into the yielded list is printed beside it."""
        begun, notes = time.monotonic(), list[str]()
        outcome = "failed"
        try:
            yield notes
            outcome = ""
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise
        finally:
            took = time.monotonic() - begun
            self.seconds[title] = round(self.seconds.get(title, 0) + took, 3)
            beside = "  ".join(filter(None, [outcome, *notes]))
            print(
                f"{time.monotonic() - self.begun:7.2f}  {title:<34} {took:6.2f} s  {beside}".rstrip(),
                flush=True,
            )

    def say(self, text: str) -> None:
        """Print a line of its own."""
        print(f"{time.monotonic() - self.begun:7.2f}  {text}", flush=True)

    def total(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.begun
