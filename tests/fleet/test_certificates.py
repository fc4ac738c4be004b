"""The certificate of several balancers: one issues, the others take, and nobody's connection ends for it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from deploy.client import Client
from deploy.inventory import Fleet
from lab import faults
from lab import host as machine
from lab.errors import LabError
from lab.state import Lab
from tests.fleet.certificates import RENEW, Certificates
from tests.fleet.conftest import Done, tool
from tests.fleet.edges import Knocking, doors
from tests.fleet.site import Site

KEY = "/etc/certificate-issuer/key"
TAGS = "certbot,keepalived"


@pytest.fixture(scope="module")
def certificates(site: Site, fleet: Fleet) -> Certificates:
    return Certificates(site, fleet)


@pytest.fixture
def in_step(certificates: Certificates) -> Iterator[str]:
    """Before and after a test all serve one certificate; its serial before."""
    (before,) = certificates.serials()
    yield before
    Site.wait(lambda: len(certificates.serials()) == 1, "one certificate on all balancers")


@pytest.fixture
def knocking(fleet: Fleet) -> Iterator[Knocking]:
    """Clients of every balancer, by its own address and by the one that they share."""
    found = list(doors(fleet).values())
    with Client(fleet) as client:
        front = replace(found[0], address=client.address)
    with Knocking([front, *found], tasks=4) as running:
        yield running


def test_renewals_reach_every_balancer_and_no_new_connection_fails(
    certificates: Certificates, knocking: Knocking, in_step: str
) -> None:
    """The soak's count of them, for each engine, is that of the reloads (test_reloads.py)."""
    seen = {in_step}
    for _ in range(2):
        certificates.renew()
        (serial,) = certificates.serials()
        assert serial not in seen
        seen.add(serial)
    knocking.wait_for(200)
    print(f"{len(seen) - 1} renewals under {knocking.count} new TLS connections: {len(knocking.errors)} errors")
    assert knocking.errors == []
    assert len(knocking.serials) >= len(seen) - 1, "clients have met what was renewed"


def test_every_balancer_answers_the_authority_for_the_one_account(fleet: Fleet) -> None:
    """It asks any of the addresses that the name has (RFC 8555, 8.3), whoever has asked for the certificate."""
    path = "/.well-known/acme-challenge/a-token"
    answers = {name: door.plain(path) for name, door in doors(fleet).items()}
    assert {answer.status for answer in answers.values()} == {200}
    (said,) = {answer.body.strip() for answer in answers.values()}
    assert re.fullmatch(rb"a-token\.[A-Za-z0-9_-]{43}", said), answers


def test_a_restarted_balancer_refuses_connections(
    site: Site, certificates: Certificates, knocking: Knocking, fleet: Fleet
) -> None:
    """The control of the test above: the same clients notice."""
    unit = f"{fleet.value(certificates.names[0], 'loadbalancer_engine')}.service"
    site.inside(certificates.others[0], "systemctl", "restart", unit)
    knocking.wait_for(100)
    assert knocking.errors


def test_a_balancer_that_is_away_fails_the_renewal_loudly_and_catches_up(
    lab: Lab, site: Site, certificates: Certificates, in_step: str
) -> None:
    away = certificates.others[0]
    # ExecStopPost of certbot.service compares; a renewal that is not due does not, so it is forced by hand.
    override = site.path(certificates.issuer, "/etc/systemd/system/certbot.service.d/90-test.conf")
    override.parent.mkdir(parents=True, exist_ok=True)
    override.write_text(f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{RENEW}'\n")
    try:
        site.inside(certificates.issuer, "systemctl", "daemon-reload")
        faults.cut(lab, site.host(away))
        with pytest.raises(LabError):
            site.inside(certificates.issuer, "systemctl", "start", "certbot.service")
        journal = site.inside(certificates.issuer, "journalctl", "--unit=certbot", "--lines=20", "--output=cat")
        assert f"  {away}: " in journal
        folder = "/var/lib/prometheus/node-exporter"
        metrics = site.path(certificates.issuer, f"{folder}/certificate_issuer.prom").read_text()
        assert f'booking_certificate_in_step{{balancer="{away}"}} 0' in metrics
        assert certificates.served(certificates.issuer) != in_step
        assert certificates.served(away) == in_step, "it serves what it has"
    finally:
        faults.mend(lab, site.host(away))
        override.unlink()
        site.inside(certificates.issuer, "systemctl", "daemon-reload")
        site.shell(certificates.issuer, "systemctl reset-failed certbot.service || true")
    # What the timer starts.
    site.inside(certificates.issuer, "systemctl", "start", "certificate-issuer.service")
    assert len(certificates.serials()) == 1


def ssh(site: Site, certificates: Certificates, *words: str, key: str = KEY, start: str = "") -> Done:
    """ssh with the issuer's key to another balancer, from *start* (the issuer)."""
    import subprocess

    target = site.host(certificates.others[0]).ipv4
    options = (
        f"-F none -i {key} -o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile=/dev/null "
        "-o StrictHostKeyChecking=no -o ConnectTimeout=5 -o LogLevel=ERROR -o ExitOnForwardFailure=yes"
    )
    command = " ".join(words).format(options=options, to=f"certificate@{target}", address=target)
    enter = faults._enter(site.lab, site.host(start or certificates.issuer), "sh", "-c", command)
    return subprocess.run(
        enter, capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL
    )


@pytest.mark.parametrize(
    "attempt",
    [
        "ssh {options} {to}",
        "ssh {options} -tt {to}",
        "ssh {options} {to} id",
        "ssh {options} {to} 'sh -c id'",
        "ssh {options} {to} sudo -n id",
        "ssh {options} {to} sudo -n /usr/local/sbin/booking-edge certificate",
        "ssh {options} {to} cat /etc/loadbalancer/certs/site.pem",
        "timeout 5 scp {options} {to}:/etc/hostname /tmp/stolen",
        "timeout 5 scp -O {options} {to}:/etc/hostname /tmp/stolen",
        "timeout 5 ssh {options} -s {to} sftp",
    ],
)
def test_the_key_that_hands_on_can_do_nothing_else(
    site: Site, certificates: Certificates, in_step: str, attempt: str
) -> None:
    done = ssh(site, certificates, attempt)
    assert done.returncode != 0, done.stdout
    assert "uid=" not in done.stdout
    assert "serial" not in done.stdout
    assert "-----" not in done.stdout
    assert not site.path(certificates.issuer, "/tmp/stolen").exists()
    assert certificates.serials() == {in_step}


def test_it_forwards_no_port(site: Site, certificates: Certificates) -> None:
    local = ssh(site, certificates, "ssh {options} -W 127.0.0.1:22 {to}")
    assert local.returncode != 0
    assert "SSH-2.0" not in local.stdout
    remote = ssh(site, certificates, "ssh {options} -N -R 40022:127.0.0.1:22 {to}")
    assert remote.returncode != 0


def test_it_is_good_from_the_issuer_alone(site: Site, fleet: Fleet, certificates: Certificates) -> None:
    elsewhere = fleet.group("web")[0].name
    copy = "/root/copied-key"
    path = site.path(elsewhere, copy)
    path.write_text(site.path(certificates.issuer, KEY).read_text())
    path.chmod(0o600)
    bundle = site.path(certificates.issuer, "/etc/loadbalancer/certs/site.pem").read_text()
    try:
        # From its own host the same words hand the bundle over: the control.
        words = "printf %s '" + bundle.replace("{", "{{").replace("}", "}}") + "' | ssh {options} {to}"
        assert ssh(site, certificates, words).stdout.strip() == "unchanged"
        refused = ssh(site, certificates, words, key=copy, start=elsewhere)
        assert refused.returncode == 255
        # The firewall alone does it; behind it, sshd would.
        keys = site.path(certificates.others[0], "/etc/ssh/certificate.keys").read_text()
        assert f'from="{site.host(certificates.issuer).ipv4},' in keys
    finally:
        path.unlink()


def test_what_is_no_bundle_of_the_service_is_refused(site: Site, certificates: Certificates, in_step: str) -> None:
    foreign = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=x "
        "-addext subjectAltName=DNS:elsewhere.example.org -keyout /dev/stdout 2>/dev/null"
    )
    done = ssh(site, certificates, f"({foreign} | tac | tac) | ssh {{options}} {{to}}")
    assert done.returncode != 0
    assert "booking-edge:" in done.stderr
    assert certificates.serials() == {in_step}


@pytest.fixture
def without(lab: Lab, env: str) -> Iterator[Callable[[str], str]]:
    """An environment of the same hosts without one of them: without("web3")."""
    folder = lab.inventory.with_name(f"{env}-without")

    def make(name: str) -> str:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(lab.inventory, folder, symlinks=True)
        hosts = folder / "hosts.yml"
        said = yaml.safe_load(hosts.read_text())
        for group in (said["all"], *said["all"]["children"].values()):
            group["hosts"].pop(name, None)
        hosts.write_text(yaml.safe_dump(said))
        return str(Path("inventories") / folder.name)

    yield make
    shutil.rmtree(folder, ignore_errors=True)


def converge(inventory: str) -> Done:
    return tool(
        "ansible-playbook", "-i", inventory, "site.yml", "--limit", "localhost,loadbalancers", "--tags", TAGS
    )


def test_a_lost_issuer_is_followed_by_another_which_issues(
    lab: Lab, env: str, site: Site, certificates: Certificates, in_step: str, without: Callable[[str], str]
) -> None:
    lost, heir = certificates.issuer, certificates.others[0]
    machine.crash(lab, site.host(lost))
    try:
        assert certificates.served(heir) == in_step, "it serves what it has"
        done = converge(without(lost))
        assert done.returncode == 0, done.stdout + done.stderr
        assert certificates.served(heir) not in ("", in_step)
        assert site.inside(heir, "systemctl", "is-enabled", "certbot.timer").strip() == "enabled"
        with Client(site.fleet) as client:
            assert client.request("GET", "/healthz").status_code == 200, "by the floating address"
    finally:
        target = site.host(lost)
        machine.start(lab, target)
        machine.wait(lab, (target,))
        done = converge(f"inventories/{env}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(certificates.serials()) == 1
    assert site.shell(heir, "systemctl is-enabled certbot.timer || true").strip() == "disabled"
