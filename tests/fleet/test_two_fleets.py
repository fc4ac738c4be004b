"""Two fleets, one by Ansible alone, one whose stateless part pyinfra has converged: nobody can tell which is which."""

from __future__ import annotations

import difflib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy import inventory, secrets
from deploy.convergence import stateful_roles
from deploy.specs import tree
from lab import outside, state
from tests.fleet import listing, mutations
from tests.fleet.conftest import Done, tool
from tests.fleet.site import Site

ANSIBLE, PYINFRA = "lab-ansible", "lab-pyinfra"
KERNEL = "net.ipv4.conf.all.send_redirects"
# What two hosts never have in common, and why.
LEFT_OUT = {
    # the kernel's own, and what is gone at the next boot
    "/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp",
    # what services have written since they run: data, statistics, journals, caches
    "/var/log", "/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd", "/var/lib/private",
    "/var/lib/postgresql", "/var/lib/rabbitmq", "/var/lib/redis", "/var/lib/fail2ban", "/var/lib/haproxy",
    "/var/lib/logrotate", "/var/lib/ucf", "/var/lib/prometheus",
    # drawn on each host, or for each fleet: keys, certificates, accounts at the authority, the machine's own identity
    "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/machine-id", "/etc/ssl/nexus",
    "/etc/letsencrypt/accounts", "/etc/letsencrypt/archive", "/etc/letsencrypt/renewal/site.conf",
    "/etc/loadbalancer/acme-account.map", "/etc/loadbalancer/certs/site.pem", "/etc/certificate-issuer/key",
    "/etc/certificate-issuer/key.pub",
    # numbers are dealt out in the order in which accounts come; the accounts themselves are compared below
    "/etc/passwd", "/etc/passwd-", "/etc/group", "/etc/group-", "/etc/shadow", "/etc/shadow-", "/etc/gshadow",
    "/etc/gshadow-", "/etc/subuid", "/etc/subuid-", "/etc/subgid", "/etc/subgid-",
    # Ansible's own traces of having been there
    "/root/.ansible", "/home/ops/.ansible",
}  # fmt: skip
COMMANDS = {
    "packages": "dpkg-query --show --showformat='${db:Status-Abbrev} ${Package} ${Version}\\n'",
    "units": "systemctl list-unit-files --no-legend --no-pager | sort",
    "units that run": "systemctl list-units --no-legend --no-pager --plain --state=active --type=service,socket,timer"
                      " | cut -d' ' -f1 | sort",
    "accounts": "getent passwd | cut -d: -f1,6,7 | sort; getent group | cut -d: -f1,4 | sort;"
                " getent passwd | while IFS=: read name _ number _; do"
                " echo $name $(id -Gn $name) $([ $number -lt 1000 ] && echo of the system); done | sort",
    "passwords": "cut -d: -f1,2 /etc/shadow | sort",
    "firewall": "iptables -S | grep -v f2b-; ip6tables -S | grep -v f2b-; ufw status verbose",
    "crontabs": "cat /etc/crontab /etc/cron.d/*; ls -A /var/spool/cron/crontabs",
    "kernel": "grep -oE '^-?[a-z][^ =]+' /etc/sysctl.d/60-nexus.conf | sed 's/^-//' | xargs sysctl --ignore",
}  # fmt: skip


@dataclass(frozen=True)
class Raised:
    """A sandbox as its hosts are handed over."""

    site: Site

    def site_yml(self, *options: str) -> Done:
        """A run of site.yml."""
        return tool("ansible-playbook", "-i", f"inventories/{self.site.env}", "site.yml", *options)

    def replaced(self) -> list[tuple[str, str]]:
        """What stands for the sandbox itself: its addresses, its keys, its name, its authority for certificates."""
        topology, known = self.site.lab.topology, self.site.lab.known_hosts.read_text().split()
        keys = [self.site.lab.key.with_suffix(".pub").read_text().split()[1], *(
            word for word in known if word.startswith("AAAA")
        )]  # fmt: skip
        return [
            *((key, "a key") for key in dict.fromkeys(keys)), (f"10.89.{topology.index}.", "10.89.N."),
            (f"fd89:6e78:7573:{topology.index:x}:", "fd89:6e78:7573:N:"), ("fd89:6e78:7573::", "fd89:6e78:7573:N::"),
            (self.site.env, "lab-name"), (outside.authority(self.site.lab), "the sandbox's own authority"),
        ]  # fmt: skip

    def listing(self, host: str) -> list[str]:
        """Everything on a host, a line each."""
        source = Path(listing.__file__).read_text(encoding="utf-8")
        asked = [
            f"import json\n{source}\n", f"replaced = {self.replaced()!r}\n",
            f"print(json.dumps([files('/', {LEFT_OUT!r}, replaced), said({COMMANDS!r}, replaced)]))\n",
        ]  # fmt: skip
        paths, told = json.loads(self.site.inside(host, "python3", "-c", "".join(asked)))
        return [
            *(f"{path}: {what}" for path, what in sorted(paths.items())),
            *(f"{name}: {line}" for name, lines in told.items() for line in lines),
        ]


def raised(name: str, size: str) -> Raised:
    """A sandbox whose hosts are as a provider hands them over."""
    for words in (["down"], ["up", "--size", size, "--hosts-only"]):
        done = tool("python", "-m", "lab", "--lab", name, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    lab = state.load(name)
    assert lab
    return Raised(Site(lab, inventory.load(name), name))


@pytest.fixture(scope="module")
def fleets(soak: bool) -> Iterator[tuple[Raised, Raised]]:
    """By Ansible, and by both; with the same secrets."""
    try:
        one, other = (raised(name, "small" if soak else "solo") for name in (ANSIBLE, PYINFRA))
        shutil.copy(one.site.lab.inventory / secrets.FILE, other.site.lab.inventory / secrets.FILE)
        stateful = ["--tags", ",".join(stateful_roles(tree()))]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(succeeds, (one.site_yml, lambda: other.site_yml(*stateful))))
        succeeds(lambda: tool("fab", "provision", "--env", PYINFRA, "--user", "root"))
        yield one, other
    finally:
        for name in (ANSIBLE, PYINFRA):
            tool("python", "-m", "lab", "--lab", name, "down")


def succeeds(run: Callable[[], Done]) -> Done:
    """The outcome of a command that must succeed."""
    done = run()
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done


def test_after_ansible_pyinfra_finds_nothing_to_change_on_any_host(fleets: tuple[Raised, Raised]) -> None:
    assert mutations.by_pyinfra(ANSIBLE) == []


def test_after_pyinfra_ansible_finds_nothing_to_change_on_any_host(fleets: tuple[Raised, Raised]) -> None:
    done = succeeds(lambda: fleets[1].site_yml("--check"))
    recap = [line for line in done.stdout.splitlines() if "unreachable=" in line]
    assert len(recap) > 1
    assert [line for line in recap if "changed=0" not in line] == [], done.stdout[-5000:]


def test_every_path_and_everything_that_is_in_force_is_the_same(fleets: tuple[Raised, Raised]) -> None:
    one, other = fleets
    for host in [each.name for each in one.site.lab.topology.fleet]:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda fleet, host=host: fleet.listing(host), (one, other))
        assert len(first) > 20_000
        told = list(difflib.unified_diff(first, second, ANSIBLE, PYINFRA, n=0, lineterm=""))
        assert not told, f"{host}:\n" + "\n".join(told[:200])


def test_a_difference_is_found(fleets: tuple[Raised, Raised]) -> None:
    """The control: a mode, a file, an account, a rule and a setting of the kernel that one host alone has."""
    one, _ = fleets
    host = one.site.web[0]
    before = one.listing(host)
    rule = "iptables -A ufw-user-input -p tcp --dport 4444 -j ACCEPT"
    one.site.shell(host, f"chmod 0600 /etc/issue; touch /etc/new; useradd new; {rule}; sysctl -qw {KERNEL}=1")
    told = set(one.listing(host)) - set(before)
    for what in ("/etc/issue: -rw-------", "/etc/new: ", "accounts: new:", "firewall: -A ufw-user-input -p tcp",
                 f"kernel: {KERNEL} = 1"):
        assert any(line.startswith(what) for line in told), (what, told)
