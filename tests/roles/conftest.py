"""testinfra on every host of an environment: `fab verify --env NAME`. Read-only, so that it may run on any fleet."""

from __future__ import annotations

import re
import shlex
import tempfile
from functools import lru_cache

import pytest
import testinfra

from deploy import inventory
from deploy.inventory import Fleet
from deploy.release.settings import default_environment

# One connection a host for the whole run; testinfra would otherwise open one for every command.
SOCKETS = tempfile.TemporaryDirectory(prefix="nexus-")
SHARED = ["-o", "ControlMaster=auto", "-o", f"ControlPath={SOCKETS.name}/%C", "-o", "ControlPersist=10"]


@lru_cache(maxsize=1)
def fleet_of(env: str) -> Fleet:
    return inventory.load(env)


@lru_cache(maxsize=64)
def connection(env: str, name: str):  # type: ignore[no-untyped-def] # testinfra has no types
    """A testinfra host over the operator's own ssh."""
    fleet = fleet_of(env)
    host = fleet.hosts[name]
    extra = shlex.split(str(host.variables.get("ansible_ssh_common_args", "")))
    key = str(host.variables.get("ansible_ssh_private_key_file", ""))
    port = host.variables.get("ansible_port", 22)
    literal = f"[{host.address}]" if ":" in host.address else host.address
    return testinfra.get_host(
        f"ssh://{host.variables.get('ansible_user', 'ops')}@{literal}:{port}?sudo=true",
        ssh_extra_args=shlex.join([*extra, *SHARED]), ssh_identity_file=key or None,
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on every host of the group that its module names (GROUP; "all" for every host)."""
    if "host" in metafunc.fixturenames:
        env = metafunc.config.getoption("env") or default_environment()
        fleet = fleet_of(env)
        group = getattr(metafunc.module, "GROUP", "all")
        names = list(fleet.hosts) if group == "all" else [host.name for host in fleet.group(group)]
        assert names, f"group {group} of {env} has no host to be verified"
        metafunc.parametrize("host", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def env(request: pytest.FixtureRequest) -> str:
    return request.config.getoption("env") or default_environment()


@pytest.fixture(scope="session")
def fleet(env: str) -> Fleet:
    return fleet_of(env)


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest, env: str):  # type: ignore[no-untyped-def] # testinfra has no types
    found = connection(env, request.param)
    found.name = request.param
    return found


@pytest.fixture
def exposure(host):  # type: ignore[no-untyped-def] # testinfra has no types
    """How much a unit exposes (0.0 to 10.0), by `systemd-analyze security`."""

    def asked(unit: str) -> float:
        said = host.run(f"systemd-analyze security --no-pager '{unit}'").stdout
        found = re.search(r"exposure level for .*: ([\d.]+)", said)
        assert found, f"{unit}: {said[-300:]}"
        return float(found[1])

    return asked


@pytest.fixture
def value(fleet: Fleet, host):  # type: ignore[no-untyped-def] # testinfra has no types
    """A variable's value on the host under test, role defaults included."""
    return lambda name: fleet.value(host.name, name)
