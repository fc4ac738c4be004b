"""What is wanted of HAProxy beside its configuration, on disk: drained servers, and maintenance.

Both files are read by HAProxy itself whenever it starts or reloads, so that nothing has to be done again then.
"""

import contextlib
import fcntl
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

BACKEND = "web"
MAP = "/var/lib/booking-balancer/maintenance.map"  # the name that the configuration knows it by
SERVER = re.compile(r"^\s+server (\S+) \S+:(\d+)", re.MULTILINE)
# One line of a server-state file, version 1 (HAProxy management guide, "show servers state"): running (2),
# drained by the administrator (8), weight 1, health checks on (6). Neither ids nor the address are said: HAProxy
# finds a server by the names, and its address stays the configuration's.
ROW = "0 {backend} 0 {server} - 2 8 1 1 0 1 0 3 6 0 0 0 - {port} -\n"
VERSION = "1\n"
COLUMN_SERVER, COLUMN_ADMIN, DRAINED = 3, 6, 8


class HelperError(Exception):
    """A refused or failed act. `code` is the exit status: 1 failed, 2 a bad argument."""

    def __init__(self, what: str, *, code: int = 1) -> None:
        super().__init__(what)
        self.what, self.code = what, code


class Maintenance(NamedTuple):
    """What clients are told: seconds until they may ask again. since: when it began (Unix time)."""

    retry_after: int
    since: int


class Wanted(NamedTuple):
    """What HAProxy shall do: the drained servers (of all, with their ports), and maintenance if it is on."""

    servers: Mapping[str, int]
    drained: frozenset[str]
    maintenance: Maintenance | None


class Layout:
    """Every path that the helper touches, below one root (`/`, or a temporary folder in tests)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.config = root / "etc/haproxy/haproxy.cfg"
        self.socket = root / "run/haproxy/admin.sock"
        self.master = root / "run/haproxy-master.sock"  # as Debian's unit has it
        self.folder = root / "var/lib/booking-balancer"
        self.server_state = self.folder / "server-state"
        self.maintenance = self.folder / "maintenance.map"

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """One helper at a time."""
        with (self.folder / "guard").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def read(layout: Layout) -> Wanted:
    """What is on disk. HelperError: this host was never converged."""
    try:
        backend = layout.config.read_text().partition(f"\nbackend {BACKEND}\n")[2].partition("\nbackend ")[0]
        rows = [line.split() for line in layout.server_state.read_text().splitlines()]
        pairs = dict(line.split() for line in layout.maintenance.read_text().splitlines())
    except FileNotFoundError as error:
        raise HelperError(f"{error.filename} is missing: this balancer was never converged") from None
    servers = {name: int(port) for name, port in SERVER.findall(backend)}
    drained = frozenset(row[COLUMN_SERVER] for row in rows if len(row) > COLUMN_SERVER) & servers.keys()
    on = Maintenance(int(pairs["retry_after"]), int(pairs["since"])) if pairs else None
    return Wanted(servers, drained, on)


def write_drained(layout: Layout, servers: Mapping[str, int], drained: Collection[str]) -> None:
    """Have these servers drained from HAProxy's next start or reload on."""
    rows = [ROW.format(backend=BACKEND, server=name, port=servers[name]) for name in sorted(drained)]
    write_durably(layout.server_state, VERSION + "".join(rows))


def write_maintenance(layout: Layout, wanted: Maintenance | None) -> None:
    """Have maintenance on or off from HAProxy's next start or reload on."""
    pairs = wanted._asdict() if wanted else {}
    write_durably(layout.maintenance, "".join(f"{key} {value}\n" for key, value in pairs.items()))


def write_durably(path: Path, text: str) -> None:
    """Replace a file by its new contents, whole and on disk, or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
