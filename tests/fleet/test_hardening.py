"""What auditors say of the hosts, and what becomes of somebody who guesses keys."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.release import settings
from deploy.release.remote import Remote
from tests.fleet.conftest import ROOT
from tests.fleet.waiting import wait_until

ATTEMPTS = 10
AUDIT = Path(sys.executable).with_name("ssh-audit")
LYNIS_GOAL = 80
# One connection as a stranger makes it: "accepted", or how it was refused.
KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 22), 3).close()
    print("accepted")
except OSError as error:
    print(type(error).__name__)
"""


def audit(address):
    """ssh-audit's verdict: 0 nothing, 2 warnings, 3 failures; and what it said. Its load test is no audit."""
    done = subprocess.run(
        [AUDIT, "--skip-rate-test", "--no-colors", address], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout


def test_ssh_audit_finds_nothing_to_fail_or_warn_of_on_any_host(lab):
    for host in lab.topology.fleet:
        code, said = audit(host.ipv4)
        assert (code, re.findall(r"\[(?:fail|warn)\].*", said)) == (0, []), f"{host.name}: {said}"


def test_ssh_audit_would_find_something(lab):
    """The control of the test above: a host that nobody hardened."""
    code, said = audit(lab.topology.outside.ipv4)
    assert code == 3
    assert "[fail]" in said
    assert "[warn]" in said


def test_the_engine_agrees_on_keys_that_outlast_a_quantum_computer(fleet):
    configured = settings.read(fleet)
    for host in settings.hosts(fleet):
        remote = Remote(settings.target(host), configured)
        remote.connect()
        try:
            assert remote._client.get_transport().outlasts is True
        finally:
            remote.close()


def test_a_client_without_such_an_exchange_is_refused(lab):
    host = lab.topology.fleet[0]
    done = subprocess.run(
        ["ssh", "-i", str(lab.key), "-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "BatchMode=yes",
         "-o", "KexAlgorithms=curve25519-sha256", f"ops@{host.ipv4}", "true"],
        capture_output=True, text=True, check=False, timeout=30,
    )
    assert done.returncode == 255
    assert "no matching key exchange method" in done.stderr


@pytest.fixture
def reachable(lab, on):
    """A host that `outside`, which no firewall lets in, reaches by ssh for once: what is under test comes after it."""
    host = lab.topology.group("web")[0]
    stranger = lab.topology.outside.ipv4
    rule = f"INPUT -s {stranger} -p tcp --dport 22 -j ACCEPT"
    assert on(host.name, f"iptables -w -I {rule}").returncode == 0
    yield host
    on(host.name, f"iptables -w -D {rule}; systemctl start fail2ban; fail2ban-client unban {stranger}")
    assert on(host.name, "fail2ban-client status sshd").returncode == 0


def knock(on, host):
    """A fresh connection: one that stands already would pass whatever the rules say."""
    done = on("outside", f"python3 -c '{KNOCK}' {host.ipv4}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def guess(on, host):
    """One login with a name that does not exist, and no key. One that is banned meanwhile hears nothing any more."""
    done = on("outside", f"timeout 10 ssh -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=no "
                         f"-o UserKnownHostsFile=/dev/null admin@{host.ipv4} true")
    assert done.returncode in (124, 255)


def test_who_guesses_is_refused_within_ten_attempts(reachable, on):
    host = reachable
    assert knock(on, host) == "accepted", "the control: the address is let in at first"
    made = 0
    while made < ATTEMPTS and knock(on, host) == "accepted":
        guess(on, host)
        made += 1
    # the last lines are read a moment after they were written
    wait_until(lambda: knock(on, host) == "ConnectionRefusedError", 20, f"a refusal after {made} attempts")
    assert on(host.name, "true").returncode == 0, "the operator still comes in"


def test_without_bans_nobody_who_guesses_is_refused(reachable, on):
    """The control of the test above."""
    host = reachable
    on(host.name, "systemctl stop fail2ban")
    assert knock(on, host) == "accepted"
    for _ in range(ATTEMPTS):
        guess(on, host)
    assert knock(on, host) == "accepted"


def test_an_operator_who_mistypes_is_not_banned(lab, on):
    host = lab.topology.group("web")[0]
    for _ in range(ATTEMPTS):
        subprocess.run(
            ["ssh", "-o", "BatchMode=yes", "-o", "IdentityFile=/dev/null", "-o", "IdentitiesOnly=yes",
             "-o", f"UserKnownHostsFile={lab.known_hosts}", f"nobody@{host.ipv4}", "true"],
            capture_output=True, check=False, timeout=30,
        )
    socket.create_connection((host.ipv4, 22), 5).close()
    assert on(host.name, "true").returncode == 0
    assert lab.topology.gateway4 not in on(host.name, "fail2ban-client status sshd").stdout


@pytest.mark.parametrize(("unit", "user"), [("booking-manage-exposure", "booking"), ("booking-cool-exposure", "root")])
def test_units_that_are_made_when_they_are_needed_have_their_sandbox(lab, on, unit, user):
    name = lab.topology.group("web")[0].name
    on(name, f"systemd-run --unit={unit} --property=User={user} sleep 60")
    try:
        said = on(name, f"systemd-analyze security --no-pager {unit}.service").stdout
        assert float(re.search(r"exposure level for .*: ([\d.]+)", said)[1]) <= 2.0
    finally:
        on(name, f"systemctl stop {unit}")


def test_the_exposure_of_a_unit_without_a_sandbox_is_seen(lab, on):
    """The control of every test of exposures."""
    name = lab.topology.group("web")[0].name
    on(name, "systemd-run --unit=test-exposure sleep 60")
    try:
        said = on(name, "systemd-analyze security --no-pager test-exposure.service").stdout
        assert float(re.search(r"exposure level for .*: ([\d.]+)", said)[1]) > 9
    finally:
        on(name, "systemctl stop test-exposure")


def explained():
    """The checks that docs/hardening.md says a host of the sandbox does not pass, and why."""
    text = (ROOT / "docs/hardening.md").read_text()
    return set(re.findall(r"^\| `([A-Z]{3,4}-\d{4})` \|", text, re.M))


def test_lynis_gives_at_least_80_and_finds_nothing_that_is_not_explained(lab, on, soak):
    indices, unexplained = {}, {}
    for host in lab.topology.fleet if soak else lab.topology.group("web")[:1]:
        audited = "lynis audit system --quick --quiet --no-colors; cat /var/log/lynis-report.dat"
        done = on(host.name, audited, timeout=400)
        indices[host.name] = int(re.search(r"^hardening_index=(\d+)", done.stdout, re.M)[1])
        found = set(re.findall(r"^(?:suggestion|warning)\[\]=([A-Z]{3,4}-\d{4})\|", done.stdout, re.M))
        unexplained[host.name] = found - explained()
    print(f"Lynis: {indices}")
    assert min(indices.values()) >= LYNIS_GOAL
    assert not any(unexplained.values()), unexplained
