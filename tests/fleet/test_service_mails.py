"""Mail on a fleet: each is sent once, whatever is away, refused, killed or deployed."""

import itertools
import subprocess
from contextlib import suppress

from tests.fleet.guests import SWEPT_SECONDS, Guest, mails, subjects
from tests.fleet.waiting import wait_until


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
