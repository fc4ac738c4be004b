"""The booking service on a fleet: payments, mail, holds that end, and what it does while a neighbour of it is away."""

import itertools
import subprocess
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from deploy.client import Client
from deploy.errors import NexusError
from lab import faults
from tests.fleet.conftest import wait_until
from tests.fleet.outside import Mailbox, Payments

RIVALS = 100
ACCOUNTS = 10


@pytest.fixture
def payments(lab):
    found = Payments.of(lab)
    found.reset()
    yield found
    found.reset()


@pytest.fixture
def mailbox(lab):
    found = Mailbox.of(lab)
    found.clear()
    yield found
    found.clear()


@pytest.fixture
def without(lab, site):
    """Stops a service of a host for the rest of the test: without("ops1", "rabbitmq-server")."""
    stopped = []

    def stop(name, service):
        faults.stop_service(lab, site.host(name), service)
        stopped.append((name, service))

    def start():
        while stopped:
            name, service = stopped.pop()
            faults.start_service(lab, site.host(name), service)

    stop.over = start
    yield stop
    start()


class Guest:
    """Somebody who books: an address, a token, and a place that nobody else knows; in birr it is paid online, in any
    other currency it is booked at once."""

    def __init__(self, client, currency="ETB"):
        self.client = client
        mark = uuid.uuid4().hex[:12]
        self.email = f"guest-{mark}@example.org"
        self.token = client.login(self.email, uuid.uuid4().hex, {"role": "guest"})
        host = client.login(f"host-{mark}@example.org", uuid.uuid4().hex, {"role": "host"})
        self.place = client.ask("POST", "/api/v1/listings/", 201, token=host, json={
            "title": f"Room {mark}", "description": "By the lake.", "place": "Bahir Dar",
            "price_per_night": "35.50", "currency": currency, "capacity": 2,
        })["id"]

    def ask(self, method, path, status, **options):
        return self.client.ask(method, f"/api/v1/bookings/{path}", status, token=self.token, **options)

    def stay(self, first=30, nights=2):
        start = datetime.now(UTC).date() + timedelta(days=first)
        end = start + timedelta(days=nights)
        return {"listing": self.place, "check_in": str(start), "check_out": str(end), "guests": 2}

    def book(self, **options):
        return self.ask("POST", "", 201, json=self.stay(**options))

    def state(self, booking):
        return self.ask("GET", f"{booking['id']}/", 200)["status"]

    def pay(self, booking, status=200):
        """Whoever found the provider away, even in the test before, asks it again only after a pause."""
        what = f"the answer {status} of one who was asked to let somebody pay"
        return wait_until(lambda: self.ask("POST", f"{booking['id']}/pay/", status), 40, what)


@pytest.fixture
def guest(client):
    return Guest(client)


@pytest.fixture
def manage(site):
    """Runs a management command as cron would, on the first web host."""

    def run(*words):
        return site.inside(site.web[0], "/usr/local/bin/booking-manage", *words)

    return run


def subjects(mailbox, address):
    return [mail.subject for mail in mailbox.by_recipient(address)]


# A web process that found the broker away, even in the test before, leaves what it would publish to the next sweep.
SWEPT_SECONDS = 90


def mails(mailbox, address, count, seconds=SWEPT_SECONDS):
    """The mails for an address once there are so many, each counted once by its Message-ID."""

    def enough():
        found = {mail.message["Message-ID"]: mail for mail in mailbox.by_recipient(address)}
        return list(found.values()) if len(found) >= count else None

    return wait_until(enough, seconds, f"mail number {count} to {address}")


def test_stay_is_paid_at_the_provider_confirmed_by_its_webhook_and_told_by_mail(guest, payments, mailbox):
    booking = guest.book()
    assert booking["status"] == "pending"
    opened = guest.pay(booking)
    assert guest.pay(booking)["checkout_url"] == opened["checkout_url"], "a second click is the same payment"
    assert guest.state(booking) == "pending"
    back = payments.pay(opened["checkout_url"])
    assert back.endswith(f"/stays/{booking['id']}/?paid")
    wait_until(lambda: guest.state(booking) == "confirmed", 20, "the webhook's confirmation")
    assert payments.calls("verify"), "nobody is believed before the provider was asked"
    (mail,) = mails(mailbox, guest.email, 1)
    assert mail.subject.startswith("Booked: ")
    assert f"/stays/{booking['id']}/" in mail.text


def test_forged_repeated_and_reordered_webhooks_change_nothing_twice(guest, payments, mailbox):
    booking = guest.book()
    payments.webhooks("forged")
    payments.pay(guest.pay(booking)["checkout_url"])
    refused = wait_until(lambda: payments.deliveries("charge.success"), 20, "the forged webhook")
    assert refused[0]["status"] == 403
    reference = _reference(payments)
    payments.webhooks("twice")
    payments.resend(reference)
    wait_until(lambda: guest.state(booking) == "confirmed", 20, "the true webhook's confirmation")
    payments.webhooks("failed-after")
    payments.resend(reference)
    assert len(mails(mailbox, guest.email, 1)) == 1
    assert guest.state(booking) == "confirmed"


def test_guest_who_comes_back_before_any_webhook_is_confirmed_by_the_sweep(guest, payments, manage):
    payments.webhooks("off")
    booking = guest.book()
    payments.pay(guest.pay(booking)["checkout_url"])
    assert guest.state(booking) == "pending"
    wait_until(lambda: manage("settle_payments") and guest.state(booking) == "confirmed", 90, "the sweep")


def test_cancelled_stay_is_given_back_once_though_the_provider_was_away(guest, payments, mailbox, manage):
    booking = guest.book()
    opened = guest.pay(booking)
    payments.pay(opened["checkout_url"])
    wait_until(lambda: guest.state(booking) == "confirmed", 20, "the confirmation")
    payments.down()
    guest.ask("POST", f"{booking['id']}/cancel/", 200)
    assert guest.state(booking) == "cancelled"
    guest.book()  # the dates are free at once
    payments.up()
    reference = _reference(payments)

    def refunded():
        manage("sweep_outbox")
        manage("settle_payments")
        return "refunded" in str(payments.transaction(reference))

    wait_until(refunded, 120, "the refund")
    assert [mail.subject for mail in mails(mailbox, guest.email, 2)][-1] != ""


def test_provider_that_is_down_is_told_and_the_hold_stays(guest, payments):
    booking = guest.book()
    payments.down()
    answer = guest.pay(booking, 503)
    assert answer["error"]["code"] == "provider_unavailable"
    assert guest.state(booking) == "pending"
    payments.up()
    assert guest.pay(booking)["checkout_url"]


def test_hold_ends_and_its_dates_are_free_again(guest, payments, site, manage):
    booking = guest.book()
    guest.ask("POST", "", 409, json=guest.stay())
    site.sql(f"UPDATE bookings_booking SET expires_at = now() WHERE id = {int(booking['id'])}")
    manage("expire_holds")
    assert guest.state(booking) == "expired"
    guest.book()


def test_broker_that_is_down_delays_mail_and_nothing_else(guest, payments, mailbox, manage, without):
    without("ops1", "rabbitmq-server")
    booking = guest.book()
    payments.pay(guest.pay(booking)["checkout_url"])
    wait_until(lambda: guest.state(booking) == "confirmed", 20, "the confirmation")
    assert subjects(mailbox, guest.email) == []
    without.over()

    def swept():
        manage("sweep_outbox")
        return mailbox.by_recipient(guest.email)

    wait_until(swept, 120, "the mail")
    assert len(mails(mailbox, guest.email, 1)) == 1


def test_cache_that_is_down_costs_time_and_nothing_else(client, guest, without):
    without("ops1", "redis-server")
    booking = guest.book()
    assert guest.state(booking) == "pending"
    assert client.ask("GET", f"/api/v1/listings/{guest.place}/", 200)["id"] == guest.place
    assert client.ask("GET", "/readyz", 200)["status"] == "degraded"


def test_mail_is_not_lost_and_not_doubled_when_the_answer_to_it_is(guest, payments, mailbox, manage, site):
    mailbox.lose(times=2)  # the guest's and the host's
    booking = guest.book()
    payments.pay(guest.pay(booking)["checkout_url"])
    wait_until(lambda: guest.state(booking) == "confirmed", 20, "the confirmation")
    failed = f"SELECT count(*) FROM outbox_message WHERE key LIKE '%.{int(booking['id'])}.%' AND error <> ''"
    wait_until(lambda: site.sql(failed) == "2", SWEPT_SECONDS, "two mails whose answers are lost")
    assert len(mailbox.by_recipient(guest.email)) == 1
    site.sql("UPDATE outbox_message SET due_at = now() WHERE done_at IS NULL AND dead_at IS NULL")
    manage("sweep_outbox")
    wait_until(lambda: len(mailbox.by_recipient(guest.email)) == 2, 30, "the mail once more")
    assert len(mails(mailbox, guest.email, 1)) == 1, "the same mail, by its Message-ID"


def test_mail_for_an_address_that_is_refused_ends_in_the_dead_letter_queue_and_can_be_sent_again(
    guest, payments, mailbox, manage, site, on
):
    mailbox.refuse(550)
    booking = guest.book()
    payments.pay(guest.pay(booking)["checkout_url"])
    wait_until(lambda: guest.state(booking) == "confirmed", 20, "the confirmation")

    def dead():
        listed = on("ops1", "rabbitmqctl --quiet list_queues --vhost booking name messages").stdout
        return dict(line.split() for line in listed.splitlines()[0:] if line.startswith("booking.dead")).get(
            "booking.dead", "0") != "0"

    wait_until(dead, SWEPT_SECONDS, "the dead letter")
    assert subjects(mailbox, guest.email) == []
    mailbox.accept()
    manage("replay_dead")
    assert len(mails(mailbox, guest.email, 1)) == 1
    # The host's mail may have died while the guest's was put back; and the broker counts every five seconds.
    wait_until(lambda: manage("replay_dead") and not dead(), 60, "an empty dead-letter queue")


def test_worker_that_is_killed_at_its_work_has_its_mail_sent_by_another(client, mailbox, manage, site, fleet, on):
    mailbox.slow(60)
    guest = Guest(client, "EUR")
    booking = guest.book()
    of_it = f"FROM outbox_message WHERE key LIKE '%.{int(booking['id'])}.%'"
    begun = f"SELECT count(*) {of_it} AND attempts = 1 AND done_at IS NULL"
    wait_until(lambda: int(site.sql(begun)) == 2, SWEPT_SECONDS, "the guest's mail and the host's under way")
    for host in fleet.group("workers"):
        assert on(host.name, "systemctl kill --signal=KILL 'booking-worker@*'").returncode == 0
    mailbox.accept()
    # What the killed ones had borrowed is due again after two minutes; here at once.
    site.sql("UPDATE outbox_message SET due_at = now() WHERE done_at IS NULL AND dead_at IS NULL")

    def done():
        manage("sweep_outbox")
        return site.sql(f"SELECT count(*) {of_it} AND attempts > 1 AND done_at IS NOT NULL") == "2"

    wait_until(done, 60, "the second attempt by workers that systemd has started again")
    assert len(mails(mailbox, guest.email, 1)) == 1


def test_deploy_in_the_middle_of_mails_has_each_sent_at_its_first_attempt(client, mailbox, site, fresh_commit):
    mailbox.slow(1)
    guest, days, booked = Guest(client, "EUR"), itertools.count(30), []
    run = site.start("deploy", "--ref", fresh_commit("while mails are sent"))
    while run.process.poll() is None:
        booked.append(int(guest.book(first=next(days), nights=1)["id"]))
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(timeout=0.5)
    assert run.end() == 0, run.said
    of_them = f"FROM outbox_message WHERE (payload->>'booking')::bigint IN ({','.join(map(str, booked))})"
    assert site.sql(f"SELECT count(*) {of_them}") == str(2 * len(booked)), "the guest's and the host's"
    wait_until(lambda: site.sql(f"SELECT count(*) {of_them} AND done_at IS NULL") == "0", 180, "the last mail")
    assert site.sql(f"SELECT max(attempts) {of_them}") == "1", "no worker was stopped at its work"
    assert len(mailbox.by_recipient(guest.email)) == len(booked) > 5


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


def _reference(payments):
    """Our name of the newest payment at the provider."""
    return payments.transactions()[-1]["tx_ref"]
