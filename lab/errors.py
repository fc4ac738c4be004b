"""The failures of the sandbox, in the same form as every other failure of the project."""

from __future__ import annotations

from pathlib import Path

from deploy.errors import NexusError


class LabError(NexusError):
    """The sandbox cannot be raised or used; always carries the command that mends it."""

    def __init__(self, what: str, *, where: str = "", mend: str = "", code: int = 10) -> None:
        super().__init__(what, where=where, mend=mend, code=code)


def tail(log: Path, lines: int = 15) -> str:
    """The last *lines* lines of a log, for a message that must show why something failed."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])
