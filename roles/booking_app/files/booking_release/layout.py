"""Where everything lies on a host, what names are allowed, and how a failure is told."""

import contextlib
import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RELEASE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{7}")
ACTIVATION = re.compile(rf"({RELEASE.pattern})\.([1-9][0-9]{{0,8}})")
VENV = re.compile(r"[0-9a-f]{16}")
SHA256 = re.compile(r"[0-9a-f]{64}")
SETTINGS = (
    "probe_host", "web_port", "ready_seconds", "served_seconds", "steady_seconds", "lease_seconds",
    "web", "processes", "credentials",
)  # fmt: skip
FULL = (errno.ENOSPC, errno.EDQUOT)  # what a full disk says
BLOCK = 4096  # the room that a file takes which is written in place


class HelperError(Exception):
    """A refused or failed act: `what` is wrong, and for a unit its name and last journal lines.

    `code` is the exit status: 1 failed, 2 a bad argument, 13 not the lock's owner.
    """

    def __init__(self, what: str, *, code: int = 1, unit: str = "", journal: tuple[str, ...] = ()) -> None:
        super().__init__(what)
        self.what, self.code, self.unit, self.journal = what, code, unit, journal


def release_id(text: str) -> str:
    """The text, if it is a release id such as 20261120T101500Z-ab12cd3; HelperError (2) otherwise."""
    if not RELEASE.fullmatch(text):
        raise HelperError(f"not a release id: {text!r}", code=2)
    return text


def activation_id(text: str) -> str:
    """The text, if it is `<release id>.<number>`; HelperError (2) otherwise."""
    if not ACTIVATION.fullmatch(text):
        raise HelperError(f"not an activation (release id, dot, number): {text!r}", code=2)
    return text


def release_of(activation: str) -> str:
    """The release that an activation runs."""
    return activation.rpartition(".")[0]


class Layout:
    """Every path that the helper touches, below one root (`/`, or a temporary folder in tests)."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.srv = root / "srv/booking"
        self.releases = self.srv / "releases"
        self.venvs = self.srv / "venvs"
        self.static = self.srv / "static"
        self.incoming = self.srv / "incoming"
        self.current = self.srv / "current"
        self.run = root / "run/booking"
        self.current_socket = self.run / "current.sock"
        self.state = root / "var/lib/booking"
        self.ledger = self.state / "ledger.jsonl"
        self.lock = self.state / "lock.json"
        self.intent = self.state / "intent.json"
        # gone with a reboot, as are activations, and never short of disk
        self.volatile = root / "run/booking-release"
        self.beat = self.volatile / "beat"
        self.spill = self.volatile / "ledger.jsonl"
        self.etc = root / "etc/booking"
        self.environment = self.etc / "environment"
        self.outgoing_ca = self.etc / "outgoing-ca.pem"
        self.credentials = self.etc / "credentials"
        self.units = root / "etc/systemd/system"

    def socket(self, activation: str) -> Path:
        """The socket that an activation's web server listens on."""
        return self.run / f"{activation}.sock"

    def mark(self, activation: str) -> Path:
        """The file that says with which settings an activation was started."""
        return self.volatile / f"{activation}.settings"

    def settings(self) -> dict[str, Any]:
        """What the role booking_app tells the helper (/etc/booking/helper.json); all of SETTINGS is there."""
        path = self.etc / "helper.json"
        try:
            settings: dict[str, Any] = json.loads(path.read_text())
        except FileNotFoundError:
            raise HelperError(f"{path} is missing: this host was never converged") from None
        if missing := [name for name in SETTINGS if name not in settings]:
            raise HelperError(f"{path} lacks {', '.join(missing)}: converge this host again")
        return settings

    @contextlib.contextmanager
    def guard(self) -> Iterator[None]:
        """One helper at a time. For acts that take milliseconds; starts and stops do not hold it."""
        with (self.state / "guard").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def next_number(self, name: str) -> int:
        """A number that this host never gave before under this name. Call it inside `guard`."""
        path = self.state / f"{name}.number"
        last = path.read_text().strip() if path.exists() else ""
        number = int(last or 0) + 1
        overwrite(path, str(number))
        return number


def write_durably(path: Path, text: str) -> None:
    """Replace a file by its new contents, whole and on disk, or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.rename(path)
    sync_directory(path.parent)


def overwrite(path: Path, text: str) -> None:
    """Put new contents (less than BLOCK bytes) where a file's old ones lie, on disk before the answer.

    The file is always as long as a block, so that a full disk stands in the way of its first writing alone. Who
    reads meanwhile may see half of it: call it, and read the file, inside `guard`.
    """
    data, new = text.encode().ljust(BLOCK - 1) + b"\n", not path.exists()
    if len(data) > BLOCK:
        raise HelperError(f"{path.name} has no room for {len(data)} bytes", code=2)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.pwrite(handle, data, 0) < BLOCK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(handle)
    finally:
        os.close(handle)
    if new:
        sync_directory(path.parent)


def write_volatile(path: Path, text: str) -> None:
    """Replace a file below /run, readable by root alone, as a whole; a reboot takes it away."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    temporary.rename(path)


def relink(link: Path, target: str) -> None:
    """Point a symbolic link at a target in one rename: whoever follows it sees the old or the new."""
    temporary = link.with_name(f".{link.name}.new")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.rename(link)


def sync_directory(path: Path) -> None:
    """Bring a folder's entries (a rename, a new link) to disk."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
