"""Payments on a fleet: what the provider says, says twice, says late, or does not say."""

from tests.fleet.guests import mails, newest_reference
from tests.fleet.waiting import wait_until


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
    reference = newest_reference(payments)
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
    reference = newest_reference(payments)

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
