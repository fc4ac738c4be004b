"""Role certbot: the public certificate, its renewal, and the way it goes from one balancer to the others."""

import json

import pytest

GROUP = "loadbalancers"
LIVE = "/etc/letsencrypt/live/site"


@pytest.fixture
def issuer(value, fleet):
    return value("certbot_issuer") or fleet.group(GROUP)[0].name


@pytest.fixture
def served(host):
    return json.loads(host.check_output("booking-edge certificate"))


def test_certificate_is_for_every_name(served, value):
    assert set(served["names"]) == {value("loadbalancer_domain"), *value("loadbalancer_extra_domains")}


def test_balancer_serves_the_certificate_that_was_issued(host, served, issuer):
    if host.name == issuer:
        assert host.check_output(f"openssl x509 -in {LIVE}/cert.pem -noout -serial") == f"serial={served['serial']}"


def test_every_balancer_serves_the_same(host, issuer):
    """Asked of the issuer, which asks them all and changes nothing where they agree."""
    if host.name == issuer:
        assert host.check_output("certificate-issuer reconcile") == "every balancer serves the certificate"


def test_key_is_of_the_declared_kind(host, value):
    said = host.check_output("openssl x509 -in /etc/loadbalancer/certs/site.pem -noout -text")
    assert ("id-ecPublicKey" in said) == (value("certbot_key_type") == "ecdsa")


def test_only_the_issuer_renews(host, issuer):
    for name in ("certbot.timer", "certificate-issuer.timer"):
        assert host.service(name).is_enabled == (host.name == issuer), name
        assert host.service(name).is_running == (host.name == issuer), name
    assert host.service("certificate-metric.timer").is_running


def test_renewal_hands_the_certificate_on(host, issuer):
    if host.name == issuer:
        renewal = host.file("/etc/letsencrypt/renewal/site.conf").content_string
        assert "renew_hook = /usr/local/sbin/certificate-issuer hand-on" in renewal
        assert "authenticator = manual" in renewal
        post = host.check_output("systemctl show --property ExecStopPost certbot.service")
        assert "certificate-issuer reconcile" in post


def test_certificate_is_not_about_to_expire(host, served):
    assert served["not_after"] > int(host.check_output("date +%s")) + 20 * 86400


def test_what_it_serves_is_told(host, value, served):
    said = host.file(f"{value('certbot_metrics_directory')}/certificate.prom").content_string
    assert "booking_certificate_served 1\n" in said
    assert "booking_certificate_not_after_seconds{" in said


def test_the_way_in_is_the_issuers_alone_and_leads_to_one_command(host, issuer, fleet):
    alone = len(fleet.group(GROUP)) == 1
    assert host.file("/etc/ssh/certificate.keys").exists != alone
    if alone:
        return
    keys = [line for line in host.file("/etc/ssh/certificate.keys").content_string.splitlines() if line[:1] != "#"]
    if host.name == issuer:
        assert keys == []
        return
    (key,) = keys
    assert key.startswith('restrict,from="')
    assert 'command="sudo -n /usr/local/sbin/booking-edge take-certificate"' in key
    assert host.check_output("sudo -l -U certificate").count("NOPASSWD") == 1
    settings = host.check_output("sshd -T -C user=certificate,host=x,addr=192.0.2.1").splitlines()
    for wanted in ("disableforwarding yes", "permittty no", "permituserrc no", "permittunnel no",
                   "authorizedkeysfile /etc/ssh/certificate.keys"):
        assert wanted in settings
    assert not any(line.startswith("allowusers certificate") and "@" not in line for line in settings)


def test_secrets_are_roots(host, issuer):
    assert host.file("/etc/loadbalancer/certs/site.pem").mode == 0o600
    assert host.file("/etc/certificate-issuer").mode == 0o700
    if host.file("/etc/certificate-issuer/key").exists:
        assert host.file("/etc/certificate-issuer/key").mode == 0o600


def test_what_renews_hands_on_and_tells_runs_in_a_sandbox(host, exposure):
    units = ["certbot.service", "certificate-metric.service"]
    if host.file("/etc/systemd/system/certificate-issuer.service").exists:
        units.append("certificate-issuer.service")
    assert {unit: found for unit in units if (found := exposure(unit)) > 2.0} == {}
