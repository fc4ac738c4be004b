"""What is wanted of a balancer beside its configuration, on disk, whichever engine serves: drained web servers, and
maintenance. Each engine derives from it what it reads when it starts, so that nothing has to be done again then."""

import contextlib
import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class HelperError(Exception):
    """A refused or failed act. `code` is the exit status: 1 failed, 2 a bad argument."""

    def __init__(self, what: str, *, code: int = 1) -> None:
        super().__init__(what)
        self.what, self.code = what, code


class Server(NamedTuple):
    """A web server as the balancer reaches it."""

    address: str
    port: int

    @property
    def literal(self) -> str:
        """Address and port as a URL has them."""
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Config(NamedTuple):
    """What site.yml says of this balancer (/etc/loadbalancer/helper.json)."""

    engine: str
    domain: str
    names: tuple[str, ...]
    https_port: int
    check_interval_ms: int
    servers: Mapping[str, Server]


class Maintenance(NamedTuple):
    """What clients are told: seconds until they may ask again. since: when it began (Unix time)."""

    retry_after: int
    since: int


class Wanted(NamedTuple):
    """What the balancer shall do: the drained servers, and maintenance if it is on."""

    drained: frozenset[str] = frozenset()
    maintenance: Maintenance | None = None


class Layout:
    """Every path that the helpers touch, below one root (`/`, or a temporary folder in tests)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.config = root / "etc/loadbalancer/helper.json"
        self.bundle = root / "etc/loadbalancer/certs/site.pem"
        self.account = root / "etc/loadbalancer/acme-account.map"
        self.folder = root / "var/lib/booking-balancer"
        self.wanted = self.folder / "wanted.json"
        # HAProxy's
        self.socket = root / "run/haproxy/admin.sock"
        self.master = root / "run/haproxy-master.sock"  # as Debian's unit has it
        self.server_state = self.folder / "server-state"
        self.maintenance = self.folder / "maintenance.map"
        # nginx's
        self.nginx = self.folder / "nginx"
        self.health = root / "run/booking-balancer/health.json"

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """One helper at a time."""
        with (self.folder / "guard").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def load(layout: Layout) -> Config:
    """What site.yml says of this balancer. HelperError: this host was never converged."""
    said = _read(layout.config)
    return Config(
        said["engine"], said["domain"], tuple(said["names"]), said["https_port"], said["check_interval_ms"],
        {name: Server(**server) for name, server in said["servers"].items()},
    )  # fmt: skip


def read(layout: Layout, servers: Collection[str]) -> Wanted:
    """What is on disk; of servers that are gone nothing is wanted. HelperError: this host was never converged."""
    said = _read(layout.wanted)
    on = said.get("maintenance")
    return Wanted(frozenset(said.get("drained", ())) & frozenset(servers), Maintenance(**on) if on else None)


def write(layout: Layout, wanted: Wanted) -> None:
    """Have this wanted from now on."""
    on = wanted.maintenance._asdict() if wanted.maintenance else None
    write_durably(layout.wanted, json.dumps({"drained": sorted(wanted.drained), "maintenance": on}) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise HelperError(f"{path} is missing: this balancer was never converged") from None
    return found


def write_durably(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file by its new contents, whole and on disk, or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_changed(path: Path, text: str, *, mode: int = 0o644) -> bool:
    """Replace a file where its contents differ; whether they did."""
    if not differs(path, text):
        return False
    write_durably(path, text, mode=mode)
    return True


def differs(path: Path, text: str) -> bool:
    """Whether a file is not there with these contents."""
    return not path.is_file() or path.read_text() != text
