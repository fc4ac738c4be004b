"""What a sandbox is made of, on disk: written before anything is created, so that whatever is
killed can be finished or removed by the next command."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError
from lab.topology import SIZES, Host, Topology, build

ROOT = Path(__file__).resolve().parent.parent
LABS = Path("/var/lib/nexus/labs")
CACHE = Path("/var/cache/nexus")
LOCKS = Path("/run/nexus/locks")
GOING = ".going-"  # begins the name of a sandbox's folder once it is none any more
NAME = re.compile(r"lab(-[a-z0-9]{1,12})?")


@dataclass(frozen=True)
class Lab:
    """One sandbox. *clone* is the checkout it belongs to; *token* changes with every fresh raise,
    so that nothing cached for earlier hosts (ssh connections above all) is used for these."""

    name: str
    clone: str
    size: str
    index: int
    image: str
    token: str
    port: int

    @property
    def id(self) -> str:
        """The machine-wide id."""
        return identify(self.name, Path(self.clone))

    @property
    def topology(self) -> Topology:
        """Its network and hosts."""
        return build(self.size, self.index)

    @property
    def directory(self) -> Path:
        """Where its state lies."""
        return LABS / self.id

    @property
    def inventory(self) -> Path:
        """The generated inventory, in the clone."""
        return inventory_of(self.name, Path(self.clone))

    @property
    def key(self) -> Path:
        """The operator's private ssh key."""
        return self.directory / "ssh/id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """Every host's public key, for ssh."""
        return self.directory / "ssh/known_hosts"

    def host_directory(self, host: Host) -> Path:
        """Where a host's disk and console lie."""
        return self.directory / "hosts" / host.name

    def host_root(self, host: Host) -> Path:
        """A host's mounted root."""
        return self.host_directory(host) / "root"

    def unit(self, host: Host | str) -> str:
        """The control group name (and systemd scope) of a host or a helper process."""
        return f"nexus-{self.id}-{host if isinstance(host, str) else host.name}"

    def save(self) -> None:
        """Write lab.json atomically."""
        self.directory.mkdir(parents=True, exist_ok=True)
        partial = self.directory / "lab.json.partial"
        partial.write_text(json.dumps(asdict(self), indent=2) + "\n")
        partial.rename(self.directory / "lab.json")

    def forget(self) -> None:
        """Remove everything that the sandbox kept on disk. Its hosts must be unmounted before.

        In one step it is no sandbox any more: half a one would be raised again as if it were whole.
        """
        clear()  # of one whose removal was killed the name may be the same
        if self.directory.is_dir():
            self.directory.rename(LABS / f"{GOING}{self.id}-{os.getpid()}")
        clear(self.inventory)


def identify(name: str, clone: Path) -> str:
    """The machine-wide id of sandbox *name* of the checkout *clone*: two clones never collide."""
    return f"{name}-{hashlib.sha256(str(clone).encode()).hexdigest()[:6]}"


def check_name(name: str) -> str:
    """*name* if it may name a sandbox; the inventory folder and `--env` bear the same name."""
    if not NAME.fullmatch(name):
        raise LabError(
            f"{name!r} is not a name for a sandbox: `lab`, or `lab-` and up to 12 lower-case letters or digits",
            where="LAB", mend="make up LAB=lab-two", code=2,
        )
    return name


def check_size(size: str) -> str:
    """*size* if there is such a size."""
    if size not in SIZES:
        raise LabError(
            f"there is no size {size!r}; sizes are: {', '.join(SIZES)}",
            where="SIZE", mend="make up SIZE=small", code=2,
        )
    return size


def read(directory: Path) -> Lab | None:
    """The sandbox kept in *directory*; None where there is none or its record cannot be read."""
    try:
        return Lab(**json.loads((directory / "lab.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def load(name: str) -> Lab | None:
    """This checkout's sandbox called *name*, or None."""
    return read(LABS / identify(name, ROOT))


def every() -> list[Lab]:
    """All sandboxes of this machine, whichever checkout they belong to."""
    if not LABS.is_dir():
        return []
    return [lab for folder in sorted(LABS.iterdir()) if not folder.name.startswith(".") and (lab := read(folder))]


def clear(*more: Path) -> None:
    """Remove the files of sandboxes that are none any more, those whose removal was killed included; before them the
    folders *more*, such as an inventory that is nobody's any more."""
    for folder in (*more, *LABS.glob(f"{GOING}*")):
        shutil.rmtree(folder, ignore_errors=True)


def inventory_of(name: str, clone: Path = ROOT) -> Path:
    """The generated inventory of a checkout's sandbox *name*; `ansible-playbook -i` and `--env` take its name."""
    return clone / "inventories" / name


@contextlib.contextmanager
def locked(name: str, doing: str) -> Iterator[None]:
    """Hold the machine-wide lock *name* for the block; its end frees it, a kill included.

    Raises LabError when somebody else holds it.
    """
    LOCKS.mkdir(parents=True, exist_ok=True)
    path = LOCKS / f"{name}.lock"
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise LabError(
                f"another command is at work on this sandbox ({handle.read().strip() or 'unknown'})",
                where=name, mend="wait for it, or end it, and run this again", code=13,
            ) from None
        handle.truncate(0)
        handle.write(f"{doing}, process {os.getpid()}\n")
        handle.flush()
        yield


@contextlib.contextmanager
def turn(name: str) -> Iterator[None]:
    """Wait for the machine-wide lock *name*: for short work, and for work that all want done once."""
    LOCKS.mkdir(parents=True, exist_ok=True)
    with (LOCKS / f"{name}.lock").open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def give_back(folder: Path) -> None:
    """Under sudo, let what lies in the checkout belong to the person who called it, not to root."""
    owner = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if None not in owner and folder.exists():
        for path in (folder, *folder.rglob("*")):
            os.chown(path, int(owner[0] or 0), int(owner[1] or 0), follow_symlinks=False)
