"""A PostgreSQL of one's own: made from the installed server's programs, thrown away at the end.

python -m tests.postgres        # keeps one up until Ctrl-C and prints the settings that use it
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

USER = DATABASE = "booking"
PREFIX = "booking-postgres-"  # then the process that owns it
START_SECONDS = 30
PR_SET_PDEATHSIG = 1  # prctl(2)

# Durability is not what these databases are for.
OPTIONS = (
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "max_connections=60",
)


def programs() -> Path:
    """Where the newest installed server is. Raises RuntimeError with the command that installs one."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not found and (elsewhere := shutil.which("initdb")):
        found = [Path(elsewhere).resolve().parent]
    if not found:
        raise RuntimeError("the tests need PostgreSQL's server programs: apt-get install postgresql")
    return max(found, key=lambda path: float(path.parent.name) if path.parent.name.isdigit() else 0.0)


def account() -> pwd.struct_passwd:
    """Who runs the server: whoever we are, unless that is root, whom PostgreSQL refuses."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def sweep() -> None:
    """Deletes what runs left behind that were killed; their servers have died with them."""
    for path in Path("/tmp").glob(f"{PREFIX}*-*"):
        if not Path("/proc", path.name.removeprefix(PREFIX).split("-")[0]).exists():
            shutil.rmtree(path, ignore_errors=True)


def die_with_parent() -> None:
    """Run in the child: the kernel stops the server (at once, SIGQUIT) when the tests are killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


class Cluster:
    """A server on a Unix socket; `directory` is the `host` to connect to, as user `booking`, trusted."""

    def __init__(self) -> None:
        who = account()
        # Not below $TMPDIR: a socket's path has room for 107 characters.
        sweep()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir="/tmp"))
        os.chown(self.directory, who.pw_uid, who.pw_gid)
        # Only root may change who a child runs as, and only root has to.
        root = os.geteuid() == 0
        self.user = who.pw_uid if root else None
        self.group = who.pw_gid if root else None
        self.groups: list[int] | None = [] if root else None
        self.data, self.log = self.directory / "data", self.directory / "log"
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Makes the data directory on the first call, starts the server, waits until it answers."""
        if not self.data.exists():
            auth = ("--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
            self.run("initdb", *auth, "--no-instructions", f"--pgdata={self.data}")
        options = [part for option in OPTIONS for part in ("-c", option)]
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(
                [programs() / "postgres", "-D", self.data, "-k", self.directory, *options],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                preexec_fn=die_with_parent,
                user=self.user,
                group=self.group,
                extra_groups=self.groups,
            )
        deadline = time.monotonic() + START_SECONDS
        while self.run("pg_isready", "--quiet", f"--host={self.directory}", check=False):
            if self.server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stops the server at once; the data stay, for another start."""
        if self.server:
            self.server.send_signal(signal.SIGQUIT)
            self.server.wait(timeout=START_SECONDS)
            self.server = None

    def remove(self) -> None:
        """Stops the server and deletes everything it had."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, program: str, *arguments: str, check: bool = True) -> int:
        """The exit code of one of PostgreSQL's programs; where checked, RuntimeError with its output."""
        done = subprocess.run(
            [programs() / program, *arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            user=self.user,
            group=self.group,
            extra_groups=self.groups,
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")
        return done.returncode


def main() -> None:
    """Keeps a server up in the foreground."""
    cluster = Cluster()
    try:
        cluster.start()
        cluster.run("createdb", f"--host={cluster.directory}", f"--username={USER}", DATABASE)
        # Taken by sigwait alone, after the server was started: a child inherits what is blocked.
        signals = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        print(f"BOOKING_DATABASE_HOST={cluster.directory}\nup; Ctrl-C ends and deletes it", flush=True)
        signal.sigwait(signals)
    finally:
        cluster.remove()


if __name__ == "__main__":
    main()
