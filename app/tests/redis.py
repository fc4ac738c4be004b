"""A Redis of one's own on a Unix socket: from the installed program, in memory alone."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.postgres import START_SECONDS, die_with_parent


def program() -> str:
    """The server. Raises RuntimeError with the command that installs it.

    Debian's package redis-server is a link to what redis-tools has, and a service that it would start: one
    program is server and checker, by the name it is called with.
    """
    found = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if found is None:
        raise RuntimeError("the tests need Redis' program: apt-get install redis-tools")
    return found


class Redis:
    """A server; `location` is what settings.CACHES calls it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="booking-redis-", dir="/tmp"))
        self.socket = self.directory / "socket"
        self.location = f"unix://{self.socket}?db=0"
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, with nothing in it, and waits until it listens."""
        where = ("--unixsocket", str(self.socket), "--dir", str(self.directory))
        self.server = subprocess.Popen(
            ["redis-server", "--port", "0", "--save", "", *where],
            executable=program(),
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self.socket.exists():
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("Redis did not start")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends it at once; what it held is gone."""
        if self.server:
            self.server.kill()
            self.server.wait(timeout=START_SECONDS)
            self.server = None
            self.socket.unlink(missing_ok=True)

    def remove(self) -> None:
        """Ends it and deletes its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
