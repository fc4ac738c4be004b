"""A running sandbox for the tests that need one: `--env NAME`, raised before by `make up` or the test run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy import inventory
from deploy.client import Client
from deploy.errors import NexusError
from deploy.inventory import Fleet
from deploy.release.settings import default_environment
from lab import state
from lab.state import Lab

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def env(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("--env") or default_environment()


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--soak"))


@pytest.fixture(scope="session")
def lab(env: str) -> Lab:
    found = state.load(env)
    assert found is not None, f"there is no sandbox {env!r}: make up LAB={env}"
    return found


@pytest.fixture(scope="session")
def fleet(env: str) -> Fleet:
    return inventory.load(env)


@pytest.fixture
def client(fleet: Fleet) -> Iterator[Client]:
    with Client(fleet) as found:
        yield found


@pytest.fixture(scope="session")
def fab(env: str) -> Callable[..., Done]:
    """Runs a Fabric task on the sandbox, as a person would, and returns what it said and its exit code."""

    def run(task: str, *arguments: str, environment: str = env) -> Done:
        return tool("fab", task, "--env", environment, *arguments)

    return run


@pytest.fixture(scope="session")
def on(lab: Lab) -> Callable[..., Done]:
    """Runs a shell command on a host as root: on("web1", "uptime")."""
    users = {host.name: "root" if host.is_outside else "ops" for host in lab.topology.hosts}
    addresses = {host.name: host.ipv4 for host in lab.topology.hosts}

    def run(name: str, command: str, *, stdin: str = "", timeout: float = 120) -> Done:
        become = "" if users[name] == "root" else "sudo "
        # No shared connection: some tests reboot the host, others change what a fresh connection may do.
        return subprocess.run(
            ["ssh", "-i", str(lab.key), "-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "LogLevel=ERROR",
             "-o", "ConnectTimeout=5", "-o", "BatchMode=yes", f"{users[name]}@{addresses[name]}",
             f"{become}sh -c {_quote(command)}"],
            input=stdin, capture_output=True, text=True, check=False, timeout=timeout,
        )

    return run


@pytest.fixture
def fresh_commit() -> Callable[[str], str]:
    """Makes a commit with the present tree that no branch knows, so that there is something new to deploy."""

    def make(message: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=test", "-c", "user.email=test@example.org",
             "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", message],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )
        return done.stdout.strip()

    return make


def tool(name: str, *arguments: str, cwd: Path = ROOT, timeout: float = 900) -> Done:
    """Run one of the project's own tools in the project's folder."""
    return subprocess.run(
        [str(TOOLS / name), *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def wait_until(check: Callable[[], object], seconds: float, what: str) -> object:
    """Wait on a condition: the first true answer of *check*. A service that does not answer yet is no answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := check():
                return found
        except NexusError:
            pass
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.2)


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
