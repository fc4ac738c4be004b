"""The firewall's guard against lock-outs, ssh from elsewhere, a host that leaves a group, and what is let out."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass

import pytest
import yaml

from lab.topology import Host
from tests.fleet import knocking
from tests.fleet.conftest import tool
from tests.fleet.waiting import wait_until

WANTED = "/var/lib/firewall/wanted/etc/ufw"
# Rules that let nobody in by ssh, as a mistake would; established connections go on.
WITHOUT_SSH = "for file in user.rules user6.rules; do sed '/--dport 22 /d' {0}/$file > {1}/$file; done"
LOCK_OUT = WITHOUT_SSH.format("/etc/ufw", WANTED)
# Long enough that it cannot be what brings the rules back while a test runs.
NEVER = 600


@pytest.fixture
def name(fleet):
    """The host that is locked out and rebooted: of all roles its own starts soonest."""
    return fleet.group("loadbalancers")[-1].name


@pytest.fixture
def console(site, name):
    """Runs a script on that host past its network, as a provider's console does, and afterwards puts its rules back."""
    kept = "/var/tmp/firewall-before"  # a reboot leaves it
    site.shell(name, f"rm -rf {kept} && cp -a {WANTED} {kept}")
    yield lambda script: site.shell(name, script)
    site.shell(name, f"cp -a {kept}/. {WANTED}/ && cp -a {kept}/. /etc/ufw/ && rm -r {kept}; firewall-guard revert")
    assert site.shell(name, "firewall-guard status && echo in force").strip() == "in force"


def answers(on, name):
    try:
        return on(name, "true", timeout=8).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def load(on, name, seconds):
    """Load the lock-out over ssh, under guard. The connection it is loaded over is kept, so it comes to its end."""
    done = on(name, f"{LOCK_OUT} && firewall-guard load {seconds}", timeout=60)
    assert done.returncode == 0, done.stderr


def converge(env, *hosts):
    return tool("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--tags", "firewall", "--limit",
                ",".join(["localhost", *hosts]), timeout=240)


def test_rules_that_lock_everybody_out_are_taken_back_by_the_host_itself(on, name, console):
    load(on, name, 12)
    assert not answers(on, name), "the mistake really locks out"
    wait_until(lambda: answers(on, name), 60, "the return of the confirmed rules")
    assert on(name, "firewall-guard confirm").returncode == 1, "too late: there is nothing left to confirm"
    assert "the previous ones are back" in on(name, "journalctl -t firewall-guard -n 5 --no-pager").stdout


def test_without_the_guard_the_same_rules_lock_out_for_good(on, name, console):
    """The control of the test above: the same rules, loaded without it; only a console helps then."""
    console(f"{LOCK_OUT}; iptables-restore -n < {WANTED}/user.rules; ip6tables-restore -n < {WANTED}/user6.rules")
    until = time.monotonic() + 20  # longer than the guard of the test above and its revert take
    while time.monotonic() < until:
        assert not answers(on, name)


def test_a_connection_older_than_the_rules_cannot_confirm_them(lab, on, name, console):
    """It passes whatever they say: here it goes on although they let nobody in."""
    socket = lab.directory / "old.sock"
    host = next(each for each in lab.topology.hosts if each.name == name)
    ssh = ["ssh", "-i", str(lab.key), "-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", f"ControlPath={socket}",
           "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", f"ops@{host.ipv4}"]

    def over_the_old_one(command):
        return subprocess.run([*ssh, command], capture_output=True, text=True, check=False, timeout=60)

    subprocess.run([*ssh[:-1], "-fNM", ssh[-1]], check=True, timeout=30, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    try:
        console(LOCK_OUT)
        assert over_the_old_one(f"sudo firewall-guard load {NEVER}").returncode == 0
        assert not answers(on, name)
        said = over_the_old_one("sudo firewall-guard confirm")
        assert said.returncode == 1
        assert "this connection is older than the rules" in said.stderr
        assert over_the_old_one("sudo firewall-guard revert").returncode == 0
        assert answers(on, name)
    finally:
        subprocess.run([*ssh[:-1], "-O", "exit", ssh[-1]], check=False, capture_output=True)


def test_a_reboot_does_not_bring_rules_that_nobody_confirmed(on, site, name, console):
    load(on, name, NEVER)
    assert not answers(on, name)
    site.reboot(name)
    wait_until(lambda: answers(on, name), 30, "ssh after the reboot")
    assert on(name, "grep -c -- '--dport 22 ' /etc/ufw/user.rules").stdout.strip() != "0"


def test_rules_that_are_in_etc_come_up_at_boot_whether_confirmed_or_not(on, site, name, console):
    """The control of the test above: this is why what is not confirmed is not put there."""
    console("cp -a /etc/ufw /run/good && " + WITHOUT_SSH.format("/run/good", "/etc/ufw"))
    site.reboot(name)
    assert not answers(on, name)


def test_the_first_rules_of_a_host_are_taken_back_to_no_firewall_and_come_up_at_boot_once_confirmed(on, name, console):
    """Nothing has tracked the connection over which they are loaded, and it comes to its end all the same."""
    policy = "iptables -w -S INPUT | head -1; grep ENABLED /etc/ufw/ufw.conf"
    assert on(name, "ufw --force disable").returncode == 0
    assert on(name, policy).stdout.split("\n")[:2] == ["-P INPUT ACCEPT", "ENABLED=no"]
    for end, outcome in (("revert", ["-P INPUT ACCEPT", "ENABLED=no"]), ("confirm", ["-P INPUT DROP", "ENABLED=yes"])):
        done = on(name, f"firewall-guard load {NEVER}")
        assert done.returncode == 0, done.stderr
        assert on(name, policy).stdout.split("\n")[:2] == ["-P INPUT DROP", "ENABLED=no"], "in the kernel alone"
        assert on(name, f"firewall-guard {end}").returncode == 0
        assert on(name, policy).stdout.split("\n")[:2] == outcome
    assert on(name, "firewall-guard status").returncode == 0


def test_rules_that_cannot_be_loaded_change_nothing(on, name, console):
    broken = f"sed -i 's/--dport 22 /--dport ssh-to-nowhere /' {WANTED}/user.rules && firewall-guard load {NEVER}"
    assert on(name, broken).returncode != 0
    assert on(name, "systemctl is-active firewall-revert.timer").stdout.strip() == "inactive"
    assert answers(on, name)


def test_site_yml_with_sources_that_leave_the_operator_out_ends_and_leaves_a_way_back(env, on, variant, name, console):
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    done = converge(variant(base_ssh_sources=["192.0.2.0/24"], firewall_revert_seconds=10), name)
    assert done.returncode != 0
    assert "UNREACHABLE" in done.stdout or "came too late" in done.stdout + done.stderr, done.stdout[-2000:]
    wait_until(lambda: answers(on, name), 60, "the return of the confirmed rules")
    assert on(name, "firewall-guard status").returncode == 1, "what is wanted is not what is in force"


CONNECT = """
import json, socket
def main(address, port, times):
    found = []
    for _ in range(times):
        try:
            socket.create_connection((address, port), timeout=3).close()
            found.append(True)
        except OSError:
            found.append(False)
    print(json.dumps(found))
"""


def connections(on, name, address, port, times):
    """Whether each of *times* connections in a row from a host was accepted."""
    done = on(name, "python3 -", stdin=f"{CONNECT}\nmain({address!r}, {port}, {times})\n")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reaches(on, name, target, port):
    return connections(on, name, target, port, 1) == [True]


@dataclass
class Changed:
    """The host once its rules are of another inventory, and what was reached before: (name, address) by what for."""

    host: Host
    gone: str
    stays: str
    before: dict[str, object]


@pytest.fixture(scope="module")
def changed(lab, env, on, fleet):
    """The broker's host by an inventory in which the last web host is in no group, `outside` may come by ssh, and the
    mail server may be reached over IPv4; afterwards it is converged by its own."""
    name, outside = fleet.group("broker")[0].name, lab.topology.outside
    host = next(each for each in lab.topology.hosts if each.name == name)
    gone, stays = fleet.group("web")[-1].name, fleet.group("web")[0].name
    assert gone != stays, "two web hosts"
    mail = fleet.value(name, "booking_app_email_port")
    before: dict[str, object] = {
        "ssh": connections(on, "outside", host.ipv4, 22, 1),
        "broker": knocking.knock(on, gone, broker(fleet, host)),
        "mail": [reaches(on, name, address, mail) for address in (outside.ipv4, outside.ipv6)],
    }
    folder = lab.inventory.with_name(f"{env}-other")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(lab.inventory, folder, symlinks=True)
    hosts = yaml.safe_load((folder / "hosts.yml").read_text())
    for members in hosts["all"]["children"].values():
        members["hosts"].pop(gone, None)
    (folder / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (folder / "group_vars/all/90-other.yml").write_text(yaml.safe_dump({
        "base_ssh_elsewhere": [outside.ipv4, outside.ipv6],
        "firewall_outgoing": [{"port": mail, "protocol": "tcp", "purpose": "mail", "networks": [outside.ipv4]}],
    }))
    try:
        done = converge(folder.name, name)
        assert done.returncode == 0, done.stdout[-2000:]
        yield Changed(host, gone, stays, before)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        done = converge(env, name)
    assert done.returncode == 0, done.stdout[-2000:]
    assert on(name, "firewall-guard status").returncode == 0
    assert connections(on, "outside", host.ipv4, 22, 1) == [False]
    assert all(knocking.knock(on, gone, broker(fleet, host)).values())


def broker(fleet, host):
    return [(address, [fleet.value(host.name, "rabbitmq_port")]) for address in (host.ipv4, host.ipv6)]


def test_ssh_from_elsewhere_is_closed_by_default_and_counted_where_it_is_open(on, changed):
    assert changed.before["ssh"] == [False]
    for address in (changed.host.ipv4, changed.host.ipv6):
        assert connections(on, "outside", address, 22, 8) == [True] * 5 + [False] * 3
    assert all(answers(on, changed.host.name) for _ in range(8)), "a declared network is not counted"


def test_a_host_that_leaves_a_group_no_longer_reaches_what_the_group_reaches(on, fleet, changed):
    asked = broker(fleet, changed.host)
    open_to_both = {(address, port): True for address, (port,) in asked}
    assert changed.before["broker"] == open_to_both
    assert knocking.knock(on, changed.gone, asked) == {}
    assert knocking.knock(on, changed.stays, asked) == open_to_both, "the others still do"


def test_a_host_reaches_what_is_declared_and_nothing_else(lab, on, fleet, changed):
    """Every host of the sandbox is closed outwards, and all other tests run so. Here a host that sends no mail would
    reach the mail server if it were not (the control)."""
    outside, name = lab.topology.outside, changed.host.name
    port = fleet.value(name, "booking_app_email_port")
    assert fleet.value(name, "firewall_deny_out")
    for address in (outside.ipv4, outside.ipv6):
        assert reaches(on, fleet.group("workers")[0].name, address, port), "the application sends mail"
    assert changed.before["mail"] == [False, False]
    assert on(name, "getent hosts mail.test").returncode == 0, "names are found"
    assert reaches(on, name, outside.ipv4, port), "the inventory's own exception"
    assert not reaches(on, name, outside.ipv6, port), "which is for that address alone"
    try:
        assert on(name, "ip6tables -w -D ufw6-user-output -j REJECT").returncode == 0
        assert reaches(on, name, outside.ipv6, port), "the control: nothing else was in the way"
        assert on(name, "firewall-guard status").returncode == 1, "and the missing rule is seen"
    finally:
        on(name, "firewall-guard revert")
    assert not reaches(on, name, outside.ipv6, port)
