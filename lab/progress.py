"""What a person sees while long work runs: phases with their time, and what is being done now."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from lab.errors import LabError, tail

ANSI = re.compile(r"\x1b\[[0-9;]*m")
INTERESTING = re.compile(r"^(TASK \[.*|PLAY \[.*|[▸>*] .*|I: .*|(Setting up|Unpacking|Get:\d+) .*)")


class Progress:
    """Prints phases: a live line in a terminal, plain lines elsewhere. Keeps each phase's seconds."""

    def __init__(self, logs: Path) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.logs = logs
        self.times: list[tuple[str, float]] = []
        self._started = time.monotonic()
        self._live = self.console.is_terminal and "CI" not in os.environ
        self._update: Callable[[str], None] = lambda _: None
        logs.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """Time the block as the phase *title*."""
        started = time.monotonic()
        if self._live:
            with self.console.status(title) as status:
                self._update = lambda text: status.update(f"{title} [dim]{text[:90]}[/dim]")
                yield
        else:
            self.console.print(f"▸ {title} …")
            self._update = lambda _: None
            yield
        seconds = time.monotonic() - started
        self.times.append((title, seconds))
        self.console.print(f"✓ {title:<58} {seconds:6.1f} s")

    def now(self, text: str) -> None:
        """Say what is being done inside the present phase."""
        self._update(text)

    @property
    def total(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._started

    def run(
        self,
        command: Sequence[str | Path],
        *,
        log: str,
        mend: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run *command*, its output into `<log>.log`, its current line on the screen; return the output.

        Raises LabError with the end of the log when it exits with anything but 0.
        """
        path = self.logs / f"{log}.log"
        argv = [str(part) for part in command]
        with path.open("a", buffering=1) as sink:
            sink.write(f"$ {' '.join(argv)}\n")
            said: list[str] = []
            process = subprocess.Popen(
                argv, cwd=cwd, env=dict(os.environ) | dict(env or {}),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace",
            )
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    sink.write(line)
                    said.append(line)
                    if match := INTERESTING.match(ANSI.sub("", line)):
                        self.now(match[0].rstrip("* \n"))
                code = process.wait()
            except BaseException:
                process.terminate()
                process.wait()
                raise
        if code:
            raise LabError(
                f"`{Path(argv[0]).name} …` ended with {code}:\n{_indent(tail(path))}",
                where=f"log {path}", mend=mend,
            )
        return "".join(said)


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def complain(error: BaseException) -> None:
    """Print a failure the way every command of the project does."""
    print(f"\nerror: {error}", file=sys.stderr)
