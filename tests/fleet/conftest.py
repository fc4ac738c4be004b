"""A running sandbox for the tests that need one: `--env NAME`, raised before by `make up` or the test run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from deploy import inventory
from deploy.client import Client
from deploy.inventory import Fleet
from deploy.release.settings import default_environment
from lab import state
from lab.state import Lab
from tests.fleet import commits
from tests.fleet.balancers import Balancers
from tests.fleet.edges import Door
from tests.fleet.guests import Guest
from tests.fleet.load import Load, describe, failures
from tests.fleet.outside import Mailbox, Payments
from tests.fleet.pair import Pair
from tests.fleet.retrying import Retrying
from tests.fleet.site import Site, Without

ROOT = Path(__file__).resolve().parents[2]
TOOLS = Path(sys.executable).parent
# Requests a second beside what is tested, by default and in the soak: a sixth and a third of what two cores carry. The
# builds and deploys of a run are on the same cores, and are most of its time.
MODULE_RATE, SOAK_RATE = 15, 30

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
    """Makes a commit that no branch knows, so that there is something new to deploy."""
    return commits.make


@pytest.fixture(scope="session")
def site(lab: Lab, fleet: Fleet, env: str) -> Site:
    """The fleet as it stands, seen from outside of every host, and what starts commands on it."""
    return Site(lab, fleet, env)


@pytest.fixture(scope="session")
def balancers(lab: Lab, fleet: Fleet, env: str, soak: bool) -> Iterator[Balancers]:
    """The balancers, whose engine can be changed; afterwards they have what they had."""
    found = Balancers(lab, fleet, env, tool, whole=soak)
    yield found
    found.restore()


@pytest.fixture(scope="session", params=["nginx", "haproxy"])
def engine(request: pytest.FixtureRequest, balancers: Balancers) -> str:
    """The engine that all balancers have from here on: one variable and one site.yml, with clients knocking."""
    balancers.become(request.param)
    return str(request.param)


@pytest.fixture
def balancer_name(engine: str, balancers: Balancers) -> str:
    """The first balancer."""
    return balancers.names[0]


@pytest.fixture
def door(balancers: Balancers, balancer_name: str) -> Door:
    """The first balancer at its own address."""
    return balancers.doors[balancer_name]


@pytest.fixture(scope="session")
def pair(site: Site, fleet: Fleet) -> Pair:
    """Who of two balancers has the addresses that clients come by."""
    return Pair(site, fleet)


@pytest.fixture
def retrying(fleet: Fleet, pair: Pair) -> Iterator[Retrying]:
    """Clients that try again, at the addresses of both families, before which all is well."""
    pair.ready()
    with Retrying(fleet, pair.floating) as running:
        yield running


@pytest.fixture(scope="session")
def module_rate(soak: bool) -> int:
    """Requests a second of a load that goes on beside what is tested."""
    return SOAK_RATE if soak else MODULE_RATE


@pytest.fixture(scope="module")
def load(fleet: Fleet, module_rate: int) -> Iterator[Load]:
    """One load for all tests of a module. A module that may not lose a request asks it after each test."""
    with Load(fleet, module_rate) as running:
        yield running


@pytest.fixture
def unharmed(load: Load) -> Iterator[None]:
    """The load loses no request while the test runs, nor in the second after."""
    began = time.monotonic()
    yield
    load.settle(1)
    during = [result for result in load.results if result.at >= began]
    assert not failures(during), describe(during)


@pytest.fixture
def variant(lab: Lab, env: str) -> Iterator[Callable[..., str]]:
    """An environment of the same hosts with some variables of its own: variant(release_warm_minutes=0)."""
    folder = lab.inventory.with_name(f"{env}-variant")

    def make(**variables: object) -> str:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(lab.inventory, folder, symlinks=True)
        (folder / "group_vars/all/90-variant.yml").write_text(yaml.safe_dump(variables))
        return folder.name

    yield make
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def patched(site: Site, fab: Callable[..., Done]) -> Iterator[Callable[[str, str], None]]:
    """Takes a protection away on every web host: patched(module of the helper, text to append). Afterwards it is
    put back, and an ordinary deploy puts right what came of it."""
    before: dict[Path, str] = {}

    def change(module: str, extra: str) -> None:
        for name in site.web:
            path = site.path(name, f"/usr/local/lib/booking/booking_release/{module}")
            before.setdefault(path, path.read_text())
            path.write_text(path.read_text() + extra)

    yield change
    for path, text in before.items():
        path.write_text(text)
    done = fab("deploy", "--ref", commits.make("after a protection was taken away"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def drained(site: Site, fab: Callable[..., Done]) -> Iterator[str]:
    """web2 is drained by a person, and comes back afterwards."""
    done = fab("drain", "web2")
    assert done.returncode == 0, done.stderr
    yield "web2"
    done = fab("undrain", "web2")
    assert done.returncode == 0, done.stderr
    assert site.drained() == []


@pytest.fixture
def payments(lab: Lab) -> Iterator[Payments]:
    """The payment provider's stand-in, as it is at its start before and after a test."""
    found = Payments.of(lab)
    found.reset()
    yield found
    found.reset()


@pytest.fixture
def mailbox(lab: Lab) -> Iterator[Mailbox]:
    """The mails that have come; none before and after a test."""
    found = Mailbox.of(lab)
    found.clear()
    yield found
    found.clear()


@pytest.fixture
def guest(client: Client) -> Guest:
    """Somebody who books at a place that nobody else knows."""
    return Guest(client)


@pytest.fixture
def manage(site: Site) -> Callable[..., str]:
    """Runs a management command as cron would, on the first web host."""

    def run(*words: str) -> str:
        return site.inside(site.web[0], "/usr/local/bin/booking-manage", *words)

    return run


@pytest.fixture
def without(site: Site) -> Iterator[Without]:
    """Stops a service of a host for the rest of the test: without("ops1", "rabbitmq-server")."""
    away = Without(site)
    yield away
    away.over()


def tool(name: str, *arguments: str, cwd: Path = ROOT, timeout: float = 900) -> Done:
    """Run one of the project's own tools in the project's folder."""
    return subprocess.run(
        [str(TOOLS / name), *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
