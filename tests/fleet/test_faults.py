"""Hosts that go away and come back: the service returns by itself."""

import uuid

from lab import faults, state
from lab.topology import build
from tests.fleet.waiting import wait_until

RETURN_SECONDS = 60
LOCK_SECONDS = 8
HOLD = """
import time
from django.db import transaction
from booking.listings.models import Listing
with transaction.atomic():
    Listing.objects.select_for_update().get(pk={listing})
    time.sleep(120)
"""


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


def held(site, seconds):
    """Transactions in which nothing has happened for some seconds."""
    return int(site.sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' "
                        f"AND now() - state_change > '{seconds} s'"))


def test_a_web_host_that_is_cut_off_in_the_midst_of_a_booking_blocks_nobody_for_long(lab, site, client):
    """What it had locked is free again, and until then others are told to try again, so that their threads are."""
    web = site.web[0]
    token = client.login(f"lock-{uuid.uuid4().hex[:12]}@example.org", uuid.uuid4().hex)
    listing = client.ask("POST", "/api/v1/listings/", 201, token=token, json={
        "title": "Locked", "description": "By one who goes away.", "place": "Nowhere", "price_per_night": "10.00",
        "currency": "ETB", "capacity": 2,
    })["id"]
    wanted = {"listing": listing, "check_in": "2031-01-01", "check_out": "2031-01-02", "guests": 1}
    guest = client.login(f"lock-{uuid.uuid4().hex[:12]}@example.org", uuid.uuid4().hex)
    site.inside(web, "systemd-run", "--quiet", "--collect", "--unit=test-lock", "/usr/local/bin/booking-manage",
                "shell", "-c", HOLD.format(listing=listing))
    try:
        wait_until(lambda: held(site, LOCK_SECONDS), 60, "a lock that stays: the control")
        answer = client.request("POST", "/api/v1/bookings/", token=guest, json=wanted)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "try_again"), answer.text
        faults.cut(lab, site.host(web))
        wait_until(lambda: not held(site, 0), LOCK_SECONDS, "the end of the lock")
        client.ask("POST", "/api/v1/bookings/", 201, token=guest, json=wanted)
    finally:
        faults.mend(lab, site.host(web))
        site.shell(web, "systemctl stop test-lock.service 'booking-manage-*.service' || true")
    wait_until(lambda: in_rotation(site), RETURN_SECONDS, "every web server in rotation")
