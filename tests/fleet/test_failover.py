"""A balancer dies, and clients that try again notice nothing. The same for both engines."""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable

import pytest

from deploy.release.verify import tag
from lab import host as machine
from lab.state import Lab
from tests.fleet.balancers import Balancers
from tests.fleet.conftest import Done
from tests.fleet.pair import Pair
from tests.fleet.retrying import Retrying
from tests.fleet.site import Site

HOST_SECONDS, HOST_P95, PROCESS_SECONDS = 2.0, 1.5, 2.5
STARTUP_SECONDS = 1.0  # vrrp_startup_delay
SOAK_TURNS = 20
CONFIGURATION = "/etc/keepalived/keepalived.conf"


def boot(lab: Lab, site: Site, name: str) -> None:
    target = site.host(name)
    machine.start(lab, target)
    machine.wait(lab, (target,))


def told(engine: str, what: str, times: list[float]) -> None:
    print(f"{engine}: balancer {what} {len(times)} times, away for (s): {', '.join(f'{each:.2f}' for each in times)}")


def test_a_crashed_balancer_host_costs_clients_that_try_again_no_request(
    engine: str, lab: Lab, site: Site, pair: Pair, retrying: Retrying, soak: bool
) -> None:
    times = []
    for _ in range(SOAK_TURNS if soak else 1):
        holder = pair.ready()
        began = time.monotonic()
        machine.crash(lab, site.host(holder))
        try:
            retrying.settle(4)
            times.append(retrying.away(began))
            assert not retrying.lost, retrying.faults[-5:]
            assert pair.holder() == pair.other(holder)
        finally:
            boot(lab, site, holder)
        assert pair.ready() == pair.other(holder), "an address moves when a host fails, not when one returns"
    told(engine, "host crashed", times)
    assert max(times) <= HOST_SECONDS
    if len(times) > 2:
        assert statistics.quantiles(times, n=20)[-1] <= HOST_P95
    assert not retrying.lost


def test_a_crash_as_soon_as_the_other_has_come_back_is_an_outage_of_a_second_more_at_most(
    engine: str, lab: Lab, site: Site, pair: Pair, retrying: Retrying
) -> None:
    """The one that takes over has only just begun to listen to the other, and listens for a second at least."""
    holder = pair.ready()
    other = pair.other(holder)
    site.inside(other, "systemctl", "restart", "keepalived.service")
    site.wait(lambda: pair.priority(other) == 150, f"{other} in good health")
    began = time.monotonic()
    machine.crash(lab, site.host(holder))
    try:
        retrying.settle(4)
        away = retrying.away(began)
    finally:
        boot(lab, site, holder)
    told(engine, "host crashed after a start", [away])
    assert away <= HOST_SECONDS + STARTUP_SECONDS
    assert not retrying.lost, retrying.faults[-5:]
    pair.ready()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_balancer_process_that_ends_costs_clients_that_try_again_no_request(
    engine: str, site: Site, pair: Pair, retrying: Retrying, how: str, soak: bool
) -> None:
    """systemd starts a killed one anew; a stopped one is away until somebody starts it, and the other takes over."""
    unit, times = f"{engine}.service", []
    for _ in range(SOAK_TURNS if soak else 1):
        holder = pair.ready()
        began = time.monotonic()
        if how == "killed":
            site.inside(holder, "systemctl", "kill", "--kill-whom=all", "--signal=KILL", unit)
        else:
            site.inside(holder, "systemctl", "stop", unit)
        try:
            retrying.settle(4)
            times.append(retrying.away(began))
            assert not retrying.lost, retrying.faults[-5:]
            assert how == "killed" or pair.holder() == pair.other(holder)
        finally:
            site.inside(holder, "systemctl", "start", unit)
        assert how == "killed" or pair.ready() == pair.other(holder)
    told(engine, f"process {how}", times)
    assert max(times) <= PROCESS_SECONDS


def test_without_the_check_a_stopped_balancer_is_an_outage(
    engine: str, site: Site, pair: Pair, retrying: Retrying
) -> None:
    """The control of the test above."""
    holder = pair.ready()
    path = site.path(holder, CONFIGURATION)
    before = path.read_text()
    try:
        path.write_text(re.sub(r"track_script \{[^}]*\}", "", before))
        site.inside(holder, "systemctl", "reload", "keepalived.service")
        Site.wait(lambda: not pair.goes_by_its_check(holder), "the configuration without a check")
        began = time.monotonic()
        site.inside(holder, "systemctl", "stop", f"{engine}.service")
        retrying.settle(6)
        assert retrying.away(began) > PROCESS_SECONDS
        assert retrying.lost
        assert pair.holders()[0] == (holder,)
    finally:
        site.inside(holder, "systemctl", "start", f"{engine}.service")
        path.write_text(before)
        site.inside(holder, "systemctl", "reload", "keepalived.service")
    pair.ready()


def test_a_drain_outlasts_a_reload_a_restart_and_a_crash_of_its_balancer(
    engine: str, lab: Lab, site: Site, balancers: Balancers, fab: Callable[..., Done]
) -> None:
    name, victim = balancers.names[-1], site.web[-1]

    def reload() -> None:
        site.shell(name, f"systemctl reload {engine}.service")

    def restart() -> None:
        site.shell(name, f"systemctl restart {engine}.service")

    def crash() -> None:
        machine.crash(lab, site.host(name))
        boot(lab, site, name)

    def up() -> set[str]:
        servers = json.loads(site.inside(name, "booking-balancer", "status"))["servers"]
        return {web for web, said in servers.items() if said == "UP"}

    def served() -> set[str]:
        return {balancers.doors[name].ask("/readyz").headers["x-served-by"] for _ in range(3 * len(site.web))}

    done = fab("drain", victim)
    assert done.returncode == 0, done.stderr
    others = set(site.web) - {victim}
    try:
        for happens in (reload, restart, crash):
            happens()
            site.wait(lambda: up() == others, f"the other web servers after {happens.__name__}", 30)
            assert served() == {tag(web) for web in others}, happens.__name__
    finally:
        done = fab("undrain", victim)
    assert done.returncode == 0, done.stderr
    site.wait(lambda: served() == {tag(web) for web in site.web}, "requests for every host: the control", 30)
