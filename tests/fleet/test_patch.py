"""`fab patch` on a fleet that serves: packages made on the spot, from a repository on the hosts' own disks."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from deploy.release.verify import tag
from tests.fleet import commits, debs
from tests.fleet.debs import BREAK, FRAGILE, KERNEL, NEW, OLD, PLAIN, SERVICE
from tests.fleet.load import Load, describe

# One web server of a sandbox has them all meanwhile, on processors that boot another host.
RATE, PROBE_RATE = 8, 4
# Of the control: some three requests are in each host's hands at any time, and most outlast the stop of nginx.
CONTROL_RATE, CONTROL_HELD_SECONDS, CONTROL_TURNS = 12, 14.0, 3
HELD_SECONDS = 7.0  # of a request that takes its time: a stop of nginx waits for 5 s, a drain for as long as it takes
INTENT = "/var/lib/nexus-patch/intent.json"
POLICY = "/usr/sbin/policy-rc.d"
# What a run prints as it goes; one that is killed after each of these is killed in the next.
ENDED = ["lock", "look at the packages", "web1: out of the way", "web1: upgrade", "web1: restart", "swap web1",
         "back behind the balancer"]
# The same roll with its way out of rotation taken away: hosts are upgraded and rebooted under their clients.
IN_THE_WAY = """
import sys
from deploy.patch import engine, roll
roll.Roll.away = lambda self, turn, host: None
engine.patch(sys.argv[1], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def serving(fab, site):
    """A release whose answers can take their time."""
    done = fab("deploy", "--ref", commits.make("patched"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def outdated(site, tmp_path):
    """Makes hosts outdated; afterwards they are as they were, and in rotation."""
    found = debs.Repository(site, tmp_path)
    yield found
    found.remove()
    for host in [*site.web, *found.hosts]:
        site.shell(host, f"rm -f {INTENT}")
    for host in site.drained():
        site.balancer("undrain", host)


@pytest.fixture
def load(fleet):
    with Load(fleet, RATE) as running:
        yield running


@pytest.fixture
def calm(variant):
    """The same hosts, asked less often by the run itself."""
    return variant(release_probe_rate=PROBE_RATE)


@pytest.fixture
def patch(fab, outdated, calm):
    def run(*arguments):
        hosts = [word for name in outdated.hosts for word in ("--host", name)]
        return fab("patch", *(arguments if "--host" in arguments else (*hosts, *arguments)), environment=calm)

    return run


def boot(site, host):
    return site.shell(host, "cat /proc/sys/kernel/random/boot_id").strip()


def at_rest(site):
    """No host is drained, none has anything begun, and nothing forbids its services."""
    left = [path for host in site.web for path in (INTENT, POLICY) if site.path(host, path).exists()]
    return site.drained() == [] and left == []


def test_check_lists_what_is_upgradeable_and_held_and_changes_nothing(site, outdated, patch):
    outdated.outdate("web1", SERVICE, PLAIN)
    site.shell("web1", "touch /run/reboot-required")
    done = patch("--check", "--host", "web1")
    assert done.returncode == 0, done.stderr
    assert "web1: 2 upgradeable, 0 security, 1 held; reboot pending" in done.stdout
    assert f"{SERVICE} 1 -> 2 (held)" in done.stdout
    assert outdated.version("web1", SERVICE) == OLD
    assert at_rest(site)


def test_fleet_is_patched_and_rebooted_under_load_without_a_failed_request(site, fleet, serving, outdated, patch):
    """Rolling updates that still drop requests (coolify 8627, 4817): of packages and reboots, too."""
    outdated.outdate("web1", SERVICE, KERNEL)
    outdated.outdate("web2", SERVICE, PLAIN)
    before = {host: boot(site, host) for host in site.web}
    with Load(fleet, RATE, HELD_SECONDS) as load:
        done = patch()
        assert done.returncode == 0, done.stdout + done.stderr
        load.settle()
    assert load.failures == [], describe(load.results)
    assert "0 failed" in done.stdout
    for host, names in {"web1": (SERVICE, KERNEL), "web2": (SERVICE, PLAIN)}.items():
        assert {name: outdated.version(host, name) for name in names} == dict.fromkeys(names, NEW)
        assert site.shell(host, "apt-mark showhold").split() == [SERVICE], "what is held stays held"
    assert boot(site, "web1") != before["web1"], "a package had asked for it"
    assert boot(site, "web2") == before["web2"], "nothing had asked for it"
    assert at_rest(site)
    # dpkg would have started it while the host served: once, and with nobody served by the host, is right
    (at,) = outdated.starts("web2")
    served = [each for each in load.results if each.server == tag("web2") and each.at <= at <= each.ended]
    assert served == []


def test_without_the_drain_requests_fail(site, fleet, serving, calm, outdated):
    """The control of the test above: the same roll, of hosts that are in rotation."""
    with Load(fleet, CONTROL_RATE, CONTROL_HELD_SECONDS) as load:
        for _ in range(CONTROL_TURNS):
            load.settle(CONTROL_HELD_SECONDS)
            outdated.outdate("web2", KERNEL)
            command = [sys.executable, "-c", IN_THE_WAY, calm, "web2"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert outdated.version("web2", KERNEL) == NEW, done.stderr
            load.settle()
            if load.failures:
                return
    raise AssertionError(f"a host was rebooted with requests in hand, and nobody noticed: {done.stderr}")


def test_host_whose_upgrade_fails_stops_the_roll_and_stays_drained(site, load, unharmed, outdated, patch):
    outdated.outdate("web1", FRAGILE)
    outdated.outdate("web2", PLAIN)
    site.shell("web1", f"touch {BREAK}")
    done = patch()
    assert done.returncode == 12, done.stdout + done.stderr
    assert "web1: the roll stopped; web1 stays drained" in done.stderr
    assert "nexus-patch.service" in done.stderr, "the unit"
    assert "the disk of this package is on fire" in done.stderr, "the last lines of its journal"
    assert "then fab patch" in done.stderr, "the next command"
    assert site.drained() == ["web1"]
    assert outdated.version("web2", PLAIN) == OLD, "the others are left as they are"
    site.shell("web1", f"rm {BREAK}")
    done = patch()
    assert done.returncode == 0, done.stdout + done.stderr
    assert outdated.version("web1", FRAGILE) == outdated.version("web2", PLAIN) == NEW
    assert at_rest(site)


def pytest_generate_tests(metafunc):
    if "ended" in metafunc.fixturenames:
        metafunc.parametrize("ended", ENDED if metafunc.config.getoption("--soak") else ENDED[2:3])


def test_run_that_is_killed_is_completed_by_the_next(site, load, unharmed, outdated, patch, calm, ended):
    """ended: the last step before the kill."""
    outdated.outdate("web1", SERVICE)
    run = site.start("patch", "--host", "web1", env=calm)
    run.until(ended)
    run.signal(signal.SIGKILL)
    run.process.wait()
    done = patch()
    assert done.returncode == 0, done.stdout + done.stderr
    assert outdated.version("web1", SERVICE) == NEW
    assert at_rest(site)


def test_deploy_and_patch_keep_each_other_out(site, outdated, fab):
    outdated.outdate("web1", PLAIN)
    run = site.start("patch", "--host", "web1")
    run.until("web1: out of the way")
    with run.stopped():
        assert fab("restart").returncode == 13
    assert run.process.wait(timeout=120) == 0, run.said
    assert at_rest(site)


def test_balancer_is_rebooted_while_the_other_has_its_address(site, pair, retrying, outdated, patch):
    """Clients that try again lose nothing: the address moves before the host is touched, and back to no one's harm."""
    name = pair.holder()
    outdated.outdate(name, KERNEL)
    before = boot(site, name)
    done = patch("--host", name)
    retrying.settle(2)
    assert done.returncode == 0, done.stdout + done.stderr
    assert boot(site, name) != before
    assert outdated.version(name, KERNEL) == NEW
    assert pair.ready() == pair.other(name)
    assert not retrying.lost, retrying.faults[-5:]


def test_what_takes_something_of_the_service_away_is_said_and_asked_for_first(site, fleet, outdated, patch):
    name = fleet.need("broker")[0].name
    outdated.outdate(name, KERNEL)
    done = patch("--host", name)
    assert done.returncode == 14
    assert f"{name}: " in done.stderr
    assert "the broker, a single one" in done.stderr
    assert "--allow-outage" in done.stderr
    assert outdated.version(name, KERNEL) == OLD
    before = boot(site, name)
    done = patch("--host", name, "--allow-outage")
    assert done.returncode == 0, done.stdout + done.stderr
    assert boot(site, name) != before
    assert outdated.version(name, KERNEL) == NEW
    harmed = ", 0 failed" not in done.stdout
    assert ("who asked again for" in done.stdout) == harmed, "what clients met meanwhile is told, if they met anything"
