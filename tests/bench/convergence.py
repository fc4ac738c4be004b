"""What convergence of the stateless part costs, beside one ssh a host that runs a script of the same (`by_hand`).

It wants hosts that nobody has converged: the first runs are measured too, on pairs of them in turn.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from statistics import median

from ansible.parsing.vault import VaultLib

from deploy.opened import Opened
from deploy.specs import STATELESS
from lab.errors import LabError
from tests.bench.by_hand import ALL_IS_WELL, ByHand
from tests.bench.figures import Figure, Growth
from tests.fleet.site import ROOT, TOOLS, Site

PAIR = 2
NO_OP_GOALS = {2: (4.0, 25.0), 8: (5.0, 40.0)}  # by the number of hosts: of the script, pyinfra's and Ansible's
FIRST_GOAL = 2.0
GROWTH = (2, 4, 8, 16)
SCRIPT, PYINFRA, ANSIBLE = "one ssh a host, a script", "pyinfra", "Ansible"
LONGEST_S = 900.0
NOTHING = re.compile(r"Grand total +(\d+) +- +- +\1 ")

Scripts = Mapping[str, str]
Act = Callable[[Sequence[str]], None]


def measure(site: Site, rounds: int) -> tuple[list[Figure], Growth]:
    """Everything, on the web hosts of a sandbox raised by `--hosts-only`. LabError: they are not fresh, or one of the
    ways does not do what the others do."""
    bench = Bench(site)
    first = bench.first(rounds)
    bench.same_everywhere()
    found = {count: bench.nothing_to_do(count, rounds) for count in GROWTH}
    return [
        *(figure for count, goals in NO_OP_GOALS.items() for figure in _no_op(count, found[count], *goals)),
        *_first(first),
    ], Growth(
        "Nothing to do: seconds by the number of web hosts", GROWTH,
        {name: [median(found[count][name]) for count in GROWTH] for name in (SCRIPT, PYINFRA, ANSIBLE)},
    )  # fmt: skip


def _no_op(count: int, found: Mapping[str, Sequence[float]], of_pyinfra: float, of_ansible: float) -> list[Figure]:
    reference = found[SCRIPT]
    return [
        Figure(f"nothing to do, {count} web hosts: {SCRIPT}", reference),
        Figure(f"nothing to do, {count} web hosts: pyinfra", found[PYINFRA]),
        Figure(f"nothing to do, {count} web hosts: pyinfra, of the script", ratios(found[PYINFRA], reference),
               of_pyinfra, "{:.1f} x"),
        Figure(f"nothing to do, {count} web hosts: Ansible, of the script", ratios(found[ANSIBLE], reference),
               of_ansible, "{:.1f} x"),
    ]  # fmt: skip


def _first(found: Mapping[str, Sequence[float]]) -> list[Figure]:
    return [
        Figure(f"first convergence, {PAIR} web hosts: {SCRIPT}", found[SCRIPT]),
        Figure(f"first convergence, {PAIR} web hosts: pyinfra", found[PYINFRA]),
        Figure(f"first convergence, {PAIR} web hosts: pyinfra, of the script",
               ratios(found[PYINFRA], found[SCRIPT]), FIRST_GOAL, "{:.1f} x"),
    ]  # fmt: skip


def ratios(measured: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Each round's ratio to the reference's round beside it."""
    return [one / other for one, other in zip(measured, reference, strict=True)]


def seconds(act: Act, hosts: Sequence[str]) -> float:
    """How long an act takes."""
    began = time.monotonic()
    act(hosts)
    return time.monotonic() - began


class Bench:
    """The three ways, on the web hosts of one sandbox."""

    def __init__(self, site: Site) -> None:
        self.site, self.env = site, site.env
        view = Opened(site.fleet, cache(lambda: VaultLib()))
        hosts = {name: ByHand(view, name) for name in site.web}
        # Made beforehand: a person has the script.
        self.checks = {name: host.check() for name, host in hosts.items()}
        self.makes = {name: host.make() for name, host in hosts.items()}

    def first(self, rounds: int) -> dict[str, list[float]]:
        """First convergence, by the script and by pyinfra in turn, each of two hosts of its own."""
        web, found = self.site.web, dict[str, list[float]]()
        if len(web) < 2 * PAIR * rounds:
            raise LabError(
                f"{len(web)} web hosts are too few for {rounds} rounds", where=self.env,
                mend=f"--rounds {len(web) // 2 // PAIR}", code=2,
            )  # fmt: skip
        if self.site.shell(web[0], "test -e /usr/local/sbin/firewall-guard && echo converged || true").strip():
            raise LabError(
                f"{web[0]} is converged already", where=self.env, code=2,
                mend=f"python -m lab --lab {self.env} down, then up --size wide --hosts-only",
            )  # fmt: skip
        pairs = iter([web[at : at + PAIR] for at in range(0, len(web), PAIR)])
        for _ in range(rounds):
            found.setdefault(SCRIPT, []).append(seconds(self.make_by_hand, next(pairs)))
            found.setdefault(PYINFRA, []).append(seconds(self.first_by_pyinfra, next(pairs)))
        if left := [name for pair in pairs for name in pair]:
            self.first_by_pyinfra(left)
        return found

    def same_everywhere(self) -> None:
        """pyinfra finds nothing to change in what the script made, nor the script in what pyinfra made, and the script
        notices what is changed. LabError: not so."""
        web = self.site.web
        hosts = [word for name in web for word in ("--limit", name)]
        _done(["fab", "provision", "--env", self.env, "--check", *hosts])
        self.check_by_hand(web)
        for fault, mend in (
            ("chmod 0600 /etc/nginx/nginx.conf", "chmod 0644 /etc/nginx/nginx.conf"),
            ("systemctl stop cron", "systemctl start cron"),
            ("echo '# by hand' >> /etc/issue", "sed -i '$d' /etc/issue"),
            ("usermod --shell /bin/dash deploy", "usermod --shell /bin/bash deploy"),
            ("iptables -A ufw-user-input -p tcp --dport 4444 -j ACCEPT",
             "iptables -D ufw-user-input -p tcp --dport 4444 -j ACCEPT"),
        ):  # fmt: skip
            self.site.shell(web[0], fault)
            if self._over_ssh("ops", web[0], "sudo bash -s", self.checks[web[0]]).returncode == 0:
                raise LabError(f"the script does not notice: {fault}", where=web[0], mend="mend tests/bench/by_hand.py")
            self.site.shell(web[0], mend)

    def nothing_to_do(self, count: int, rounds: int) -> dict[str, list[float]]:
        """Runs that change nothing, on so many web hosts. Ansible's are measured as often only where they have a
        goal."""
        hosts, found = self.site.web[:count], dict[str, list[float]]()
        for number in range(rounds):
            found.setdefault(SCRIPT, []).append(seconds(self.check_by_hand, hosts))
            found.setdefault(PYINFRA, []).append(seconds(self.by_pyinfra, hosts))
            if number == 0 or count in NO_OP_GOALS:
                found.setdefault(ANSIBLE, []).append(seconds(self.by_ansible, hosts))
        return found

    def check_by_hand(self, hosts: Sequence[str]) -> None:
        """One ssh a host, all at once."""
        for done in self._all(hosts, "ops", "sudo bash -s", self.checks):
            if done.stdout.strip() != ALL_IS_WELL:
                raise LabError(f"the script finds: {done.stdout}{done.stderr}", where=self.env)

    def make_by_hand(self, hosts: Sequence[str]) -> None:
        """The same, of hosts as a provider hands them over; then a fresh connection confirms the firewall."""
        for done in (
            *self._all(hosts, "root", "bash -s", self.makes),
            *self._all(hosts, "ops", "sudo firewall-guard confirm", dict.fromkeys(hosts, "")),
        ):
            if done.returncode:
                raise LabError(f"the script failed: {done.stdout}{done.stderr}", where=self.env)

    def first_by_pyinfra(self, hosts: Sequence[str]) -> None:
        """The same by pyinfra."""
        self.pyinfra(hosts, "--ssh-user", "root")

    def pyinfra(self, hosts: Sequence[str], *options: str) -> str:
        """A run of pyinfra, and what it said."""
        limit = [word for name in hosts for word in ("--limit", name)]
        return _done(["pyinfra", "deploy.inventory:fleet", "deploy/provision/site.py", "--yes", *limit, *options],
                     NEXUS_ENV=self.env)  # fmt: skip

    def by_pyinfra(self, hosts: Sequence[str]) -> None:
        """A run of pyinfra that changes nothing. LabError: it did."""
        said = self.pyinfra(hosts)
        if not NOTHING.search(said):
            raise LabError(f"pyinfra has changed something:\n{said[-3000:]}", where=self.env)

    def by_ansible(self, hosts: Sequence[str]) -> None:
        """The same of site.yml, over connections of its own: those of the run before would be open still."""
        with tempfile.TemporaryDirectory(prefix="nexus-") as sockets:
            said = _done(["ansible-playbook", "-i", f"inventories/{self.env}", "site.yml", "--tags",
                          ",".join(STATELESS), "--limit", ",".join(["localhost", *hosts])],
                         ANSIBLE_SSH_CONTROL_PATH_DIR=sockets)  # fmt: skip
        if said.count("changed=0") != len(hosts) + 1:
            raise LabError(f"Ansible has changed something:\n{said[-3000:]}", where=self.env)

    def _all(
        self, hosts: Sequence[str], user: str, command: str, scripts: Scripts
    ) -> list[subprocess.CompletedProcess[str]]:
        with ThreadPoolExecutor(len(hosts)) as pool:
            return list(pool.map(lambda name: self._over_ssh(user, name, command, scripts[name]), hosts))

    def _over_ssh(self, user: str, host: str, command: str, script: str) -> subprocess.CompletedProcess[str]:
        lab = self.site.lab
        return subprocess.run(
            ["ssh", "-i", str(lab.key), "-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "BatchMode=yes",
             "-o", "LogLevel=ERROR", f"{user}@{self.site.host(host).ipv4}", command],
            input=script, capture_output=True, text=True, check=False, timeout=LONGEST_S,
        )  # fmt: skip


def _done(words: Sequence[str], **environment: str) -> str:
    done = subprocess.run(
        [str(TOOLS / words[0]), *words[1:]], cwd=ROOT, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=LONGEST_S, env=os.environ | environment,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"{words[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout + done.stderr
