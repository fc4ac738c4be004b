"""What a run found that is not as it should be, told to whoever started it: a line of JSON each, in a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "NEXUS_DIFFERENCES"  # the variable that names the file


@dataclass(frozen=True, order=True)
class Difference:
    """Something on a host that is not as a role has it. what: a path, or what would be done for it."""

    host: str
    role: str
    what: str


def tell(host: str, role: str, found: Iterable[str]) -> None:
    """Note differences, where somebody asked for them."""
    lines = [f"{json.dumps(asdict(Difference(host, role, what)))}\n" for what in found]
    if lines and (path := os.environ.get(FILE)):
        with Path(path).open("a", encoding="utf-8") as file:
            file.writelines(lines)


def told(path: Path) -> Iterator[Difference]:
    """What was noted in a file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        yield Difference(**json.loads(line))
