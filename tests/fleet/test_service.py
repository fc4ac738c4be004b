"""The booking service on a fleet: holds that end, races, jobs, and a cache that is away."""

import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx

from deploy.client import Client
from deploy.errors import NexusError
from tests.fleet.waiting import wait_until

RIVALS = 100
ACCOUNTS = 10


def test_hold_ends_and_its_dates_are_free_again(guest, payments, site, manage):
    booking = guest.book()
    guest.ask("POST", "", 409, json=guest.stay())
    site.sql(f"UPDATE bookings_booking SET expires_at = now() WHERE id = {int(booking['id'])}")
    manage("expire_holds")
    assert guest.state(booking) == "expired"
    guest.book()


def test_cache_that_is_down_costs_time_and_nothing_else(client, guest, without):
    without("ops1", "redis-server")
    booking = guest.book()
    assert guest.state(booking) == "pending"
    assert client.ask("GET", f"/api/v1/listings/{guest.place}/", 200)["id"] == guest.place
    assert client.ask("GET", "/readyz", 200)["status"] == "degraded"


def test_of_a_hundred_clients_who_race_for_the_same_dates_one_wins_though_a_connection_is_cut(fleet, guest):
    with Client(fleet) as client:
        tokens = [client.login(f"{uuid.uuid4().hex[:12]}@example.org", uuid.uuid4().hex) for _ in range(ACCOUNTS)]
    gate, body = threading.Barrier(RIVALS), guest.stay(first=60)

    def race(number):
        with Client(fleet) as client:
            client.request("GET", "/healthz")
            gate.wait(timeout=60)
            try:
                # the first one's connection is cut while its request is under way
                options = {"timeout": httpx.Timeout(5, read=0.005)} if number == 0 else {}
                return client.request(
                    "POST", "/api/v1/bookings/", token=tokens[number % ACCOUNTS], json=body, **options
                ).status_code
            except NexusError:
                return "cut"

    with ThreadPoolExecutor(RIVALS) as pool:
        answers = Counter(pool.map(race, range(RIVALS)))
    held = guest.client.ask(
        "GET", f"/api/v1/listings/{guest.place}/availability/?from={body['check_in']}&to={body['check_out']}", 200
    )
    assert set(answers) <= {201, 409, "cut"}, answers
    assert answers["cut"] == 1
    assert answers[201] <= 1, "the one whose connection was cut may have won"
    assert held["taken"] == [{key: body[key] for key in ("check_in", "check_out")}]


def test_key_makes_a_repeated_booking_one_booking(guest):
    key, body = {"Idempotency-Key": uuid.uuid4().hex}, guest.stay()
    first = guest.ask("POST", "", 201, json=body, headers=key)
    assert guest.ask("POST", "", 201, json=body, headers=key)["id"] == first["id"]
    guest.ask("POST", "", 422, json=guest.stay(first=40), headers=key)


def test_scheduled_jobs_run_on_one_host_at_a_time_and_say_when_they_last_did(site):
    def ran():
        rows = site.sql("SELECT name, host FROM cron.run WHERE ok").splitlines()
        return {row.split("|")[0] for row in rows} >= {"expire-holds", "sweep-outbox"}

    wait_until(ran, 130, "a minute's jobs")
