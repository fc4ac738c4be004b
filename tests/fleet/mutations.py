"""Single changes by hand behind both engines' backs, made from what the roles declare, and what each engine says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible.parsing.vault import VaultLib

from deploy import convergence, host_declarations
from deploy.inventory import Fleet
from deploy.opened import Opened
from deploy.provision.differences import Difference
from deploy.provision.host_state import names_of, program
from deploy.provision.roles import declaring, roles_of
from deploy.rendering import Renderer
from deploy.specs import ROOT, STATELESS
from tests.fleet.site import TOOLS, Site

# Without these neither engine gets in any more: that is not drift, it is a locked door.
WAYS_IN = ("/home/ops/", "/etc/sudoers.d/ops")
DOORS = ("ssh.service",)
FILE_KINDS = {
    "mode": "chmod 0604 '{path}'",
    "owner": "chown ops '{path}'",
    "content": "echo '# by hand' >> '{path}'",
    "deleted": "rm '{path}'",
    "link": "ln -sfn /dev/null '{path}'",
}
INSTALLED, PURGED = "Packages are installed", "Packages that a server has no use for are gone"
GUARD, IN_FORCE = "firewall-guard status", "What is in force is known"
SECRETS = "Secrets are in place"  # Ansible says no more of what it must not log


@dataclass(frozen=True)
class Mutation:
    """One change. by_pyinfra, by_ansible: what each engine calls it."""

    host: str
    role: str
    kind: str
    script: str
    by_pyinfra: str
    by_ansible: str

    def __str__(self) -> str:
        return f"{self.host}: {self.role}: {self.kind} of {self.by_pyinfra}"

    def found(self, differences: Iterable[Difference], *, ansible: bool) -> bool:
        """Whether an engine tells of it."""
        words = self.by_ansible if ansible else self.by_pyinfra
        return any((each.host, each.what) == (self.host, words) for each in differences)


def renderer(fleet: Fleet, host: str) -> Renderer:
    """What renders for a host, secrets included."""
    return Renderer(Opened(fleet, VaultLib), host)


def on(fleet: Fleet, hosts: Iterable[str]) -> list[Mutation]:
    """Every mutation that can be made at once on these hosts: each of another thing."""
    return [mutation for number, name in enumerate(hosts) for mutation in of_host(fleet, name, number)]


def of_host(fleet: Fleet, host: str, number: int) -> Iterator[Mutation]:
    """Those of one host. number: its place, by which kinds and things are dealt out."""
    rendering = renderer(fleet, host)
    seen: set[str] = set()
    for role in declaring(roles_of(rendering.view, host)):
        for name in host_declarations.declared(role).files:
            if role == "keepalived" and name == "none":
                continue
            for entry in _entries(role, name, rendering):
                path = entry["path"]
                if path not in seen and not path.startswith(WAYS_IN) and (made := _file(host, role, entry, number)):
                    seen.add(path)
                    number += 1
                    yield replace(made, by_ansible=SECRETS) if name == "secrets" else made
        for unit in host_declarations.units(role, rendering):
            if made := _unit(host, role, unit, number, ours=f"/etc/systemd/system/{unit['name']}" in seen):
                number += 1
                yield made
        for account in host_declarations.accounts(role, rendering):
            if account["name"] != "ops":
                name = account["name"]
                yield Mutation(host, role, "shell", f"usermod --shell /bin/dash {name}", *_both(
                    f"usermod --shell {account['shell']} --home {account['home']} {name}"
                ))
    yield from _firewall(host, number)


def _entries(role: str, name: str, rendering: Renderer) -> list[dict[str, Any]]:
    """The entries of a set; what only hosts can tell is made up, as no content is looked at."""
    peers = dict.fromkeys(rendering.view.groups["all"], "made up")
    moment = {"keepalived_link": "lo", "certbot_public_key": "made up", "certbot_host_keys": peers}
    return host_declarations.files(role, Renderer(rendering.view, rendering.host, moment), name)


def _both(words: str) -> tuple[str, str]:
    return words, words


def _file(host: str, role: str, entry: Mapping[str, Any], number: int) -> Mutation | None:
    path = entry["path"]
    if entry["state"] == "directory":
        return Mutation(host, role, "mode", f"chmod 0711 '{path}'", *_both(path)) if entry["mode"] != "0711" else None
    if entry["state"] == "absent":
        script = f"mkdir -p \"$(dirname '{path}')\"; echo '# by hand' > '{path}'"
        return Mutation(host, role, "appearance", script, *_both(path))
    kinds = [kind for kind in FILE_KINDS if kind != "content" or not entry["create_only"]]
    kind = kinds[number % len(kinds)]
    return Mutation(host, role, kind, FILE_KINDS[kind].format(path=path), *_both(path))


def _unit(host: str, role: str, unit: Mapping[str, Any], number: int, *, ours: bool) -> Mutation | None:
    name = unit["name"]
    if name in DOORS or not unit["enabled"]:
        return None
    if unit["state"] != "started":
        return Mutation(host, role, "disabled", f"systemctl disable -q {name}", *_both(f"systemctl enable {name}"))
    kind, script, words = (
        ("stopped", f"systemctl stop {name}", f"systemctl start {name}"),
        ("disabled", f"systemctl disable -q {name}", f"systemctl enable {name}"),
        # of the moment, as the other kind would take the way it was enabled along
        ("masked", f"systemctl mask -q --runtime --now {name}", f"systemctl unmask --runtime {name}"),
    )[number % (2 if ours else 3)]  # a unit in /etc cannot be masked
    return Mutation(host, role, kind, script, *_both(words))


def _firewall(host: str, number: int) -> Iterator[Mutation]:
    kind, script = (
        ("an extra rule", "iptables -A ufw-user-input -p tcp --dport 4444 -j ACCEPT"),
        # in the family that the controller does not come by: a locked door again
        ("a rule less", "ip6tables -D ufw6-user-input 1"),
        ("another rule instead", "ip6tables -R ufw6-user-input 1 -p tcp --dport 4444 -j ACCEPT"),
        ("another file", "echo '# by hand' >> /etc/ufw/user.rules"),
        ("no rules", "ip6tables -F ufw6-user-input"),
    )[number % 5]
    yield Mutation(host, "firewall", kind, script, GUARD, IN_FORCE)


def packages(fleet: Fleet) -> list[Mutation]:
    """Packages by hand: one that was removed, one that nobody wants."""
    web, balancer = fleet.need("web")[0].name, fleet.need("loadbalancers")[0].name
    quiet = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y"
    return [
        Mutation(web, "base", "removal", f"{quiet} remove debsums > /dev/null 2>&1", "package debsums", INSTALLED),
        Mutation(balancer, "base", "arrival", f"{quiet} install telnet > /dev/null 2>&1", "package telnet", PURGED),
    ]


def make(site: Site, mutations: Iterable[Mutation]) -> None:
    """Make the changes, past the network."""
    by_host: dict[str, list[str]] = {}
    for mutation in mutations:
        by_host.setdefault(mutation.host, []).append(mutation.script)
    for host, scripts in by_host.items():
        site.shell(host, "\n".join(["set -e", *scripts]))


def limit(hosts: Iterable[str], *, ansible: bool = False) -> list[str]:
    """The options that restrict a run of an engine to hosts."""
    if ansible:
        return ["--limit", ",".join(["localhost", *hosts])]
    return [word for name in hosts for word in ("--limit", name)]


def state(site: Site, host: str) -> dict[str, Any]:
    """What is there of all that the roles declare for a host, the firewall's rules included."""
    rendering = renderer(site.fleet, host)
    roles = declaring(roles_of(rendering.view, host))
    sets = [(role, name) for role in roles for name in host_declarations.declared(role).files]
    units = [unit for role in roles for unit in host_declarations.units(role, rendering)]
    wanted = {
        "files": sorted({path for role, name in sets for path in host_declarations.paths(role, rendering, name)}),
        "accounts": [entry["name"] for role in roles for entry in host_declarations.accounts(role, rendering)],
        "units": names_of(units, []),
        "questions": {
            "rules": ["sh", "-c", "cat /etc/ufw/user.rules /etc/ufw/user6.rules; iptables -S; ip6tables -S"],
            "pending": ["find", "/var/lib/nexus/pending", "-type", "f"],
        },
        "packages": True,
    }
    found: dict[str, Any] = json.loads(site.inside(host, "python3", "-c", program("look", wanted)))
    found["answers"]["rules"][1] = _without_bans(found["answers"]["rules"][1])
    return found


def _without_bans(rules: str) -> str:
    """fail2ban's own come and go."""
    return "\n".join(line for line in rules.splitlines() if "f2b-" not in line)


def by_pyinfra(env: str, *options: str) -> list[Difference]:
    """What `fab provision --check` tells."""
    done = subprocess.run(
        [str(TOOLS / "fab"), "provision", "--env", env, "--check", *options], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    rows = [line.split(": ", 2) for line in done.stdout.splitlines() if line.count(": ") >= 2]
    assert bool(rows) is (done.returncode == 3), done.stdout + done.stderr
    return [Difference(*row) for row in rows]


def ansible(env: str, *options: str) -> subprocess.CompletedProcess[str]:
    """A run of site.yml for the stateless part, answered in JSON."""
    return subprocess.run(
        [str(TOOLS / "ansible-playbook"), "-i", f"inventories/{env}", "site.yml", "--tags", ",".join(STATELESS),
         *options],
        cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"},
    )  # fmt: skip


def by_ansible(env: str, *options: str) -> list[Difference]:
    """What Ansible's check tells of the stateless part."""
    done = ansible(env, "--check", *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return list(convergence.changed(json.loads(done.stdout)))
