"""The live table of a run: a row for each host, a column for each kind of step."""

from __future__ import annotations

import time
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table as RichTable
from rich.text import Text

from deploy.release.report import DONE

REDRAWS_A_SECOND = 10
MOST_COLUMNS = 6  # the last ones; what went before is told by the lines above
BAD = ("fail", "lost", "unreach", "no answer", "broken")


class Table:
    """Hosts by step, below the lines of the steps that ended. It is erased when no step is under way."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, highlight=False, soft_wrap=True)  # obeys NO_COLOR
        self._live: Live | None = None
        self._titles: list[str] = []
        self._begun = 0.0
        self._cells: dict[str, dict[str, str]] = {}  # by column, then by host
        self._hosts: list[str] = []
        self._spinner = Spinner("dots")

    def enter(self, title: str) -> None:
        """A step begins; one within another takes its place until it ends."""
        self._titles.append(title)
        self._begun = time.monotonic()
        if self._live is None:
            self._live = Live(
                get_renderable=self.draw, console=self._console, transient=True, refresh_per_second=REDRAWS_A_SECOND
            )
            self._live.start()

    def host(self, name: str, state: str) -> None:
        """How far a host is in the present step."""
        if not self._titles:
            return
        if name not in self._hosts:
            self._hosts.append(name)
        self._cells.setdefault(column(self._titles[-1], self._hosts), {})[name] = state

    def line(self, text: str, bad: bool) -> None:
        """A line that stays, above the table."""
        self._console.print(Text(text, style="red" if bad else ""))

    def leave(self, outcome: str) -> None:
        """The present step ends; outcome: "" if it went well."""
        title = self._titles.pop()
        if not outcome:
            cells = self._cells.get(column(title, self._hosts), {})
            cells.update(dict.fromkeys(cells, DONE))
        if not self._titles and self._live:
            self._live.stop()
            self._live = None

    def draw(self) -> RichTable:
        """The table as it stands now."""
        title = self._titles[-1] if self._titles else ""
        shown = list(self._cells)[-MOST_COLUMNS:]
        table = RichTable.grid(padding=(0, 2))
        self._spinner.update(text=f"{title}  {time.monotonic() - self._begun:.1f} s")
        table.add_row(self._spinner, *(Text(name, style="bold") for name in shown))
        for name in self._hosts:
            table.add_row(f"  {name}", *(_cell(self._cells[step].get(name, "")) for step in shown))
        return table


def column(title: str, hosts: list[str]) -> str:
    """The kind of a step: its title without the host that it is about."""
    head, _, last = title.rpartition(" ")
    return head if head and last in hosts else title


def _cell(state: str) -> Text:
    if state == DONE:
        return Text("✓", style="green")
    return Text(state, style="red" if any(word in state.lower() for word in BAD) else "cyan")
