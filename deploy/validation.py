"""Everything that can be known to be wrong with an inventory before a host is touched.

Reads the environment's own files, not what Ansible makes of them, so that each problem has a file and a line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from deploy import crons, declarations
from deploy.derived.booking_app import PROCESS_NAME
from deploy.errors import NexusError, NoValueError
from deploy.inventory import environments
from deploy.inventory_files import read
from deploy.option_types import faults, suggestion
from deploy.specs import ROOT, SERVICE_GROUPS, Tree, tree
from deploy.static_inventory import Problem, Setting, StaticInventory, UnresolvedError, relative

# What a release is configured with; a fleet without one of the other groups still serves.
REQUIRED_GROUPS = ("loadbalancers", "web", "database", "cache", "broker")

SSH_PORT = 22
FLOATING = "loadbalancer_floating_addresses"
ISSUER = "certbot_issuer"
PROCESSES = "booking_app_processes"

# How to reach a host, by ssh with a key; whatever else Ansible could be told has no place in an inventory, as the
# release engine would not follow it.
CONNECTION: dict[str, dict[str, Any]] = {
    "ansible_host": {"type": "str"},
    "ansible_port": {"type": "int"},
    "ansible_user": {"type": "str"},
    "ansible_ssh_private_key_file": {"type": "path"},
    "ansible_ssh_common_args": {"type": "str"},
    "ansible_ssh_extra_args": {"type": "str"},
    "ansible_ssh_retries": {"type": "int"},
    "ansible_control_path": {"type": "path"},
    "ansible_control_path_dir": {"type": "path"},
    "ansible_host_key_checking": {"type": "bool"},
    "ansible_ssh_host_key_checking": {"type": "bool"},
    "ansible_python_interpreter": {"type": "path"},
    "ansible_become": {"type": "bool"},
    "ansible_become_method": {"type": "str", "choices": ["sudo"]},
    "ansible_become_password": {"type": "str"},
}


def problems(env_dir: Path, root: Path = ROOT) -> list[Problem]:
    """Everything wrong with the environment in `env_dir`, by file and line; empty for a sound one.

    root: the source tree whose site.yml and roles/ it is for. UsageError: that tree is itself broken.
    """
    source = tree(root)
    if not env_dir.is_dir():
        known = ", ".join(environments(root)) or "none"
        return [Problem(relative(env_dir, root), 0, "", f"no such environment; there are: {known}")]
    inventory, found = read(env_dir, root, source)
    found += _groups(inventory)
    found += [p for setting in inventory.settings for p in _setting(setting, source)]
    if not inventory.groups["all"]:
        return sorted({*found, Problem(_hosts_file(inventory, root), 0, "", "the inventory has no hosts")})
    found += _empty(inventory, root)
    found += _missing(inventory, root)
    if not found:  # what follows would only repeat in other words what a wrong value already said
        found += _ports(inventory)
        found += _clashes(inventory)
        found += _floating(inventory)
        found += _issuer(inventory)
        found += _crons(inventory)
        found += _processes(inventory)
        found += _sources(inventory)
    return sorted(set(found))


def report(sources: Iterable[str], root: Path = ROOT) -> list[str]:
    """The problems of the inventories that Ansible was given (folders, or files in one), as lines of text."""
    given = [Path(source) for source in sources if source]
    if len(given) != 1:
        return [f"one inventory a run is expected, not {len(given)}: -i inventories/NAME"]
    folder = given[0].parent if given[0].is_file() else given[0]
    if "," in given[0].name:
        return [f"{given[0]}: a folder is expected, not a list of hosts: -i inventories/NAME"]
    return [str(problem) for problem in problems(folder, root)]


def _groups(inventory: StaticInventory) -> Iterator[Problem]:
    named = {group for play in inventory.tree.plays for _, group in play.terms}
    known = {*SERVICE_GROUPS, *named, "all", "ungrouped"}
    for group in inventory.groups:
        if group not in known:
            yield inventory.places[f"group {group}"].problem(f"unknown group{suggestion(group, known)}")
    for host in inventory.groups["all"]:
        if host in known:
            yield inventory.places[f"host {host}"].problem("a host may not bear the name of a group", host)


def _setting(setting: Setting, source: Tree) -> Iterator[Problem]:
    option = CONNECTION.get(setting.name) or source.option(setting.name)
    if option is None:
        hint = suggestion(setting.name, {*source.variables(), *CONNECTION})
        yield setting.place.problem(f"unknown variable{hint}")
        return
    if option.get("required") and setting.value == []:
        yield setting.place.problem("an empty list, where at least one is needed", setting.name)
    for inner, message in faults(setting.value, option):
        key = setting.name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in inner)
        yield setting.place.at(*inner).problem(message, key)


def _empty(inventory: StaticInventory, root: Path) -> Iterator[Problem]:
    message = "the group has no hosts; the service needs at least one"
    served = {group for play in inventory.tree.plays for _, group in play.terms}
    for group in REQUIRED_GROUPS:
        if group in served and not inventory.groups.get(group):
            place = inventory.places.get(f"group {group}")
            yield (place.problem(message) if place else Problem(_hosts_file(inventory, root), 0, group, message))


def _floating(inventory: StaticInventory) -> Iterator[Problem]:
    """Floating addresses that are none."""
    for host in inventory.groups.get("loadbalancers", []):
        setting = inventory.setting(host, FLOATING)
        if not setting or not isinstance(setting.value, list) or not setting.value:
            continue
        for index, address in enumerate(setting.value):
            try:
                ip_address(address)
            except ValueError:
                yield setting.place.at(index).problem(f"'{address}' is no address", f"{FLOATING}[{index}]")


def _issuer(inventory: StaticInventory) -> Iterator[Problem]:
    """A certificate's issuer that is no load balancer."""
    balancers = inventory.groups.get("loadbalancers", [])
    for host in balancers:
        setting = inventory.setting(host, ISSUER)
        if setting and setting.value and setting.value not in balancers:
            message = f"'{setting.value}' is no host of loadbalancers: {', '.join(balancers)}"
            yield setting.place.problem(message, ISSUER)


def _missing(inventory: StaticInventory, root: Path) -> Iterator[Problem]:
    """Required variables without a value on a host that needs them."""
    source, hosts = inventory.tree, inventory.groups["all"]
    folder = f"{relative(inventory.folder, root)}/group_vars/all"
    own = sorted((inventory.folder / "group_vars/all").glob("1*.yml"))
    drawn = {name for secret in declarations.secrets(source, inventory.groups) for name in secret.names}
    for name, needing in _required(inventory):
        lacking = [host for host in needing if inventory.setting(host, name) is None]
        if lacking and name in drawn:
            message = f"the secret is not drawn yet: fab secrets.init --env {inventory.env}"
            yield Problem(f"{folder}/20-secrets.yml", 0, name, message)
        elif lacking:
            file = f"{folder}/{own[0].name if own else '10-environment.yml'}"
            which = "" if len(lacking) == len(hosts) else f" for {', '.join(lacking)}"
            yield Problem(file, 0, name, f"required and not set{which}; set it in this file")


def _required(inventory: StaticInventory) -> Iterator[tuple[str, list[str]]]:
    """Variables that have to be set, each with the hosts that need it."""
    source, hosts = inventory.tree, inventory.groups["all"]
    for name, option in source.shared.items():
        if option.get("required"):
            yield name, hosts
    roles = {host: source.roles_of(host, inventory.groups) for host in hosts}
    for role in source.role_names:
        users = [host for host in hosts if role in roles[host]]
        for name, option in source.role(role).options.items() if users else ():
            if option.get("required"):
                yield name, users


def _ports(inventory: StaticInventory) -> Iterator[Problem]:
    """Hosts whose sshd would be moved away from the port by which they are reached.

    Where `ansible_port` is set as well, the two may differ: a router in between may translate one to the other.
    """
    for host in inventory.groups["all"]:
        setting = inventory.setting(host, "base_ssh_port")
        if setting and setting.value != SSH_PORT and not inventory.setting(host, "ansible_port"):
            message = f"host '{host}' is reached on port {SSH_PORT}; set ansible_port as well, to the port it has now"
            yield setting.place.problem(message, "base_ssh_port")


def _clashes(inventory: StaticInventory) -> Iterator[Problem]:
    """Ports that two roles claim on one host."""
    for host in inventory.groups["all"]:
        claims: dict[tuple[int, str], dict[str, str]] = {}
        for role in inventory.tree.roles_of(host, inventory.groups):
            for port in inventory.tree.role(role).ports:
                name = str(port.port)
                try:
                    number = inventory.value(host, name) if name else None
                except (UnresolvedError, NoValueError):
                    continue
                if number is None or number == "":
                    continue
                claims.setdefault((number, port.protocol), {}).setdefault(role, name)
        for (number, protocol), roles in claims.items():
            if len(set(roles.values())) > 1:  # by one variable they mean one listener
                written = [s.place for name in roles.values() if (s := inventory.setting(host, name))]
                place = (written or [inventory.places[f"host {host}"]])[0]
                who = " and ".join(f"{role} ({name})" for role, name in roles.items())
                message = f"on host '{host}' both {who} listen on this port"
                yield place.problem(message, f"{number}/{protocol}")


def _crons(inventory: StaticInventory) -> Iterator[Problem]:
    """Scheduled jobs that cannot be run as they are written, or that share a name."""
    for host in inventory.groups["all"]:
        written: dict[str, str] = {}
        for role in inventory.tree.roles_of(host, inventory.groups):
            for name in (cron.jobs for cron in inventory.tree.role(role).crons):
                try:
                    jobs = inventory.value(host, name)
                except UnresolvedError:
                    continue
                setting = inventory.setting(host, name)
                place = setting.place if setting else inventory.places[f"host {host}"]
                for index, job in enumerate(jobs):
                    for key, message in crons.faults(job):
                        yield place.at(index, key).problem(message, f"{name}[{index}].{key}")
                    if job["name"] in written:
                        message = f"on host '{host}' a job of {written[job['name']]} is called {job['name']} as well"
                        yield place.at(index, "name").problem(message, f"{name}[{index}].name")
                    written[job["name"]] = name


def _processes(inventory: StaticInventory) -> Iterator[Problem]:
    """Processes beside the web server whose names no unit of systemd can bear, or that share one."""
    for host in inventory.groups["all"]:
        setting = inventory.setting(host, PROCESSES)
        if setting is None:
            continue
        seen = {"web"}
        for index, name in enumerate(process["name"] for process in setting.value):
            if "{{" in name:
                continue  # what it comes to is checked where it is used
            place = setting.place.at(index, "name")
            if name in seen:
                yield place.problem(f"another process is called {name} as well", f"{PROCESSES}[{index}].name")
            elif not PROCESS_NAME.fullmatch(name):
                message = f"'{name}': a name begins with a lower-case letter, and goes on with such, digits and hyphens"
                yield place.problem(message, f"{PROCESSES}[{index}].name")
            seen.add(name)


def _sources(inventory: StaticInventory) -> Iterator[Problem]:
    """Hosts whose firewall rules cannot be told, such as a peer known by name alone."""
    for host in inventory.groups["all"]:
        try:
            declarations.rules(inventory, host)
            if declarations.denies_out(inventory, host):
                declarations.outgoing(inventory, host)
        except UnresolvedError:
            continue
        except NexusError as error:
            mend = f"; {error.mend}" if error.mend else ""
            yield inventory.places[f"host {host}"].problem(f"{error.what}{mend}", host)


def _hosts_file(inventory: StaticInventory, root: Path) -> str:
    return f"{relative(inventory.folder, root)}/hosts.yml"
