"""The stand-ins at `outside`, as a web host of the fleet finds them: by name, verified, and back after a restart."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from deploy.client import Client
from deploy.inventory import Fleet
from lab.errors import LabError
from lab.inventory import CHAPA_HOST, CHAPA_SECRET_KEY, MAIL_HOST
from lab.outside import MAIL_PORT, WEBHOOK_URL, fetch_roots
from lab.state import Lab
from tests.fleet.conftest import tool
from tests.fleet.outside import PAYMENTS_PORT, Mailbox, Payments
from tests.fleet.site import Site
from tests.fleet.waiting import wait_until

# Each runs on a web host; its first argument is the authority's certificate.
RESOLVE = """
import json, socket, sys
print(json.dumps(sorted({each[4][0] for each in socket.getaddrinfo(sys.argv[2], None, type=socket.SOCK_STREAM)})))
"""
ASK = """
import json, ssl, sys, urllib.request
context = ssl.create_default_context(cadata=sys.argv[1]) if sys.argv[1] else ssl.create_default_context()
request = urllib.request.Request(sys.argv[2], sys.argv[4].encode() or None, json.loads(sys.argv[3]))
print(urllib.request.urlopen(request, timeout=10, context=context).read().decode())
"""
SEND = """
import smtplib, ssl, sys
context = ssl.create_default_context(cadata=sys.argv[1]) if sys.argv[1] else ssl.create_default_context()
with smtplib.SMTP(sys.argv[2], int(sys.argv[3]), timeout=10) as client:
    client.starttls(context=context)
    client.login("booking", "anything")
    text = "Subject: " + sys.argv[4] + "\\r\\n\\r\\nHello.\\r\\n"
    client.sendmail("bookings@booking.test", ["guest@example.org"], text)
"""
KEY = {"Authorization": f"Bearer {CHAPA_SECRET_KEY}", "Content-Type": "application/json"}


@pytest.fixture
def authority(lab: Lab) -> str:
    return (lab.directory / "outside/ca.pem").read_text()


def run(site: Site, script: str, *arguments: str) -> str:
    return site.inside(site.web[0], "python3", "-c", script, *arguments)


def begin(site: Site, authority: str, tx_ref: str) -> str:
    """A payment that a web host begins; the address of its checkout page."""
    fields = {"amount": "1200", "currency": "ETB", "tx_ref": tx_ref, "return_url": "https://booking.test/paid"}
    url = f"https://{CHAPA_HOST}:{PAYMENTS_PORT}/v1/transaction/initialize"
    answer = json.loads(run(site, ASK, authority, url, json.dumps(KEY), json.dumps(fields)))
    return str(answer["data"]["checkout_url"])


@pytest.mark.parametrize("name", [CHAPA_HOST, MAIL_HOST])
def test_name_leads_to_both_addresses(site: Site, lab: Lab, name: str) -> None:
    assert json.loads(run(site, RESOLVE, "", name)) == sorted([lab.topology.outside.ipv4, lab.topology.outside.ipv6])


def test_payment_begun_on_a_web_host_is_made_by_a_customer_without_script(
    site: Site, payments: Payments, authority: str
) -> None:
    checkout = begin(site, authority, "fleet-1")
    assert checkout.startswith(f"https://{CHAPA_HOST}:{PAYMENTS_PORT}/checkout/payment/")
    assert payments.pay(checkout) == "https://booking.test/paid"
    url = f"https://{CHAPA_HOST}:{PAYMENTS_PORT}/v1/transaction/verify/fleet-1"
    assert json.loads(run(site, ASK, authority, url, json.dumps(KEY), ""))["data"]["status"] == "success"


def test_webhook_reaches_the_service_over_verified_tls(site: Site, payments: Payments, authority: str) -> None:
    """Whatever the service makes of it: a certificate that is not trusted would give no status at all."""
    assert json.loads(payments.request("GET", "/control/webhooks").text)["url"] == WEBHOOK_URL
    payments.pay(begin(site, authority, "fleet-2"))
    wait_until(payments.deliveries, 15, "the webhook")
    assert payments.deliveries()[0]["status"] is not None, payments.deliveries()


def test_webhook_to_a_server_that_nobody_vouches_for_is_not_sent(
    site: Site, payments: Payments, authority: str
) -> None:
    """The control of the test above. The stand-in's own certificate is of an authority that it does not trust."""
    payments.webhooks(url=f"https://{CHAPA_HOST}:{PAYMENTS_PORT}/webhook/", attempts=1)
    payments.pay(begin(site, authority, "fleet-3"))
    wait_until(payments.deliveries, 15, "the attempt")
    assert payments.deliveries()[0]["status"] is None
    assert "CERTIFICATE_VERIFY_FAILED" in payments.deliveries()[0]["error"]


def test_restarted_acme_authority_is_met_anew_and_trusted_by_all(
    site: Site, lab: Lab, fleet: Fleet, payments: Payments, authority: str
) -> None:
    """It has another root then, and knows no account any more. What `make up` does about it, without its other work."""
    site.inside("outside", "systemctl", "restart", "pebble.service")
    payments.pay(begin(site, authority, "fleet-4"))
    wait_until(payments.deliveries, 15, "the webhook under the root before")
    assert payments.deliveries()[0]["status"] is not None, payments.deliveries()
    before = fetch_roots(lab).read_text()
    done = tool("ansible-playbook", "-i", f"inventories/{site.env}", "site.yml", "--limit", "localhost,loadbalancers",
                "--tags", "certbot")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert fetch_roots(lab).read_text() == before
    with Client(fleet) as client:
        client.ask("GET", "/healthz", 200)
    payments.reset()
    payments.pay(begin(site, authority, "fleet-4"))
    wait_until(payments.deliveries, 15, "the webhook under the present root")
    assert payments.deliveries()[0]["status"] is not None, payments.deliveries()


def test_mail_from_a_web_host_is_in_the_mailbox(site: Site, mailbox: Mailbox, authority: str) -> None:
    run(site, SEND, authority, MAIL_HOST, str(MAIL_PORT), "Your stay")
    (kept,) = mailbox.by_recipient("guest@example.org")
    assert (kept.sender, kept.login, kept.subject) == ("bookings@booking.test", "booking", "Your stay")


def test_mail_is_refused_and_lost_as_told_from_this_machine(site: Site, mailbox: Mailbox, authority: str) -> None:
    mailbox.refuse(451, times=1)
    with pytest.raises(LabError, match=r"SMTPRecipientsRefused.*451"):
        run(site, SEND, authority, MAIL_HOST, str(MAIL_PORT), "Not now")
    mailbox.lose(times=1)
    with pytest.raises(LabError, match="SMTPServerDisconnected"):
        run(site, SEND, authority, MAIL_HOST, str(MAIL_PORT), "Was it sent?")
    assert [kept.subject for kept in mailbox.messages()] == ["Was it sent?"]
    run(site, SEND, authority, MAIL_HOST, str(MAIL_PORT), "Again")
    assert len(mailbox.messages()) == 2


@pytest.mark.parametrize(("script", "arguments"), [
    (ASK, (f"https://{CHAPA_HOST}:{PAYMENTS_PORT}/v1/transaction/verify/x", json.dumps(KEY), "")),
    (SEND, (MAIL_HOST, str(MAIL_PORT), "x")),
])
def test_who_does_not_trust_the_sandboxs_authority_is_not_connected(
    site: Site, script: str, arguments: tuple[str, ...]
) -> None:
    """The control: it is the authority that is verified."""
    with pytest.raises(LabError, match="CERTIFICATE_VERIFY_FAILED"):
        run(site, script, "", *arguments)


def test_restart_of_payments_forgets_them_and_serves_again(site: Site, payments: Payments, authority: str) -> None:
    begin(site, authority, "fleet-5")
    site.inside("outside", "systemctl", "restart", "payments.service")
    wait_until(lambda: answers(payments), 10, "an answer after the restart")
    assert payments.transactions() == []
    begin(site, authority, "fleet-5")


def test_restart_of_mail_keeps_what_came(site: Site, mailbox: Mailbox, authority: str) -> None:
    run(site, SEND, authority, MAIL_HOST, str(MAIL_PORT), "before")
    site.inside("outside", "systemctl", "restart", "mail.service")
    wait_until(lambda: accepts(site, authority), 10, "mail after the restart")
    assert [kept.subject for kept in mailbox.messages()] == ["before", "after"]


def test_private_key_and_mail_are_nobody_elses(site: Site, mailbox: Mailbox) -> None:
    assert key_mode(site.path("outside", "/etc/outside/server.key")) == 0o600
    for service in ("mail", "payments"):
        pid = site.inside("outside", "systemctl", "show", "--property=MainPID", "--value", f"{service}.service").strip()
        owner = site.inside("outside", "stat", "--format=%U", f"/proc/{pid}")
        assert owner.strip() not in ("root", "nobody")


def key_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def answers(payments: Payments) -> bool:
    try:
        return payments.calls() == []
    except httpx.TransportError:
        return False


def accepts(site: Site, authority: str) -> bool:
    try:
        run(site, SEND, authority, MAIL_HOST, str(MAIL_PORT), "after")
    except LabError:
        return False
    return True
