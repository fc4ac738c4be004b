"""Hosts that go away and come back: the service returns by itself."""

from lab import state
from lab.topology import build
from tests.fleet.conftest import wait_until

RETURN_SECONDS = 60


def pytest_generate_tests(metafunc):
    if "rebooted" not in metafunc.fixturenames:
        return
    env = metafunc.config.getoption("--env")
    lab = state.load(env) if env else None
    hosts = (lab.topology if lab else build("full", 0)).fleet
    kinds = {each.groups: each.name for each in reversed(hosts) if each.groups}
    names = [each.name for each in hosts if metafunc.config.getoption("--soak") or each.name in kinds.values()]
    metafunc.parametrize("rebooted", names)


def in_rotation(site):
    """Whether every balancer has every web server."""
    found = [site.balancer("status", on=name)["servers"] for name in site.balancers]
    return all(set(servers) == set(site.web) and set(servers.values()) == {"UP"} for servers in found)


def test_service_returns_by_itself_after_a_reboot(rebooted, on, site, client):
    """One host of each kind; of every host in the soak."""
    release = client.ask("GET", "/healthz", 200)["release"]
    site.reboot(rebooted)
    wait_until(lambda: in_rotation(site), RETURN_SECONDS, "every web server in rotation")

    def serves():
        answer = client.request("GET", "/readyz")
        return answer.status_code == 200 and answer.json()["status"] == "ready"

    wait_until(serves, RETURN_SECONDS, "a ready answer")
    assert client.ask("GET", "/healthz", 200)["release"] == release
    failed = wait_until(
        lambda: on(rebooted, "systemctl is-system-running --wait").stdout.strip(), RETURN_SECONDS, "the end of the boot"
    )
    assert failed == "running", on(rebooted, "systemctl --failed").stdout
