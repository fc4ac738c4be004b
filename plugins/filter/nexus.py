"""Filters for plays and templates: the resolver of declarations, over the variables of this run.

The resolver's see every host of the inventory, whatever --limit says, and run on the controller, whatever the task
becomes or delegates to. Of another host they read only the variables they need, so that no secret is
decrypted in passing.
"""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

_ROOT = Path(__file__).resolve().parents[2]
if str(_ROOT) not in sys.path:
    sys.path.append(str(_ROOT))

from deploy import declarations, logins, rendering, validation  # noqa: E402 - the package lies beside plugins/, not on Ansible's path
from deploy.errors import NexusError  # noqa: E402 - as above
from deploy.hostvars import HostvarsView  # noqa: E402 - as above


def firewall_rules(hostvars: Mapping[str, Any], host: str, groups: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """`hostvars | nexus_firewall_rules(inventory_hostname, groups)`: the ports open on a host.

    Each: as deploy.rules.Rule.plain() has it.
    """
    return [rule.plain() for rule in declarations.rules(HostvarsView(hostvars, groups), host)]


def firewall_outgoing(
    hostvars: Mapping[str, Any], host: str, groups: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """`hostvars | nexus_firewall_outgoing(inventory_hostname, groups)`: what a host may reach, in the same form; for
    a host that lets nothing else out."""
    return [rule.plain() for rule in declarations.outgoing(HostvarsView(hostvars, groups), host)]


def crons(hostvars: Mapping[str, Any], host: str, groups: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """`hostvars | nexus_crons(inventory_hostname, groups)`: the scheduled jobs of a host, by name.

    Each: name, schedule, command, user, timeout_seconds and needs.
    """
    return [job.plain() for job in declarations.crons(HostvarsView(hostvars, groups), host)]


def holds(hostvars: Mapping[str, Any], host: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """`hostvars | nexus_holds(inventory_hostname, groups)`: packages that no unattended upgrade touches."""
    return declarations.holds(HostvarsView(hostvars, groups), host)


def value(hostvars: Mapping[str, Any], host: str, name: str) -> Any:
    """`hostvars | nexus_value('db1', 'postgresql_port')`: a variable of any host, role defaults included."""
    return HostvarsView(hostvars, {}).value(host, name)


def derived(hostvars: Mapping[str, Any], host: str, groups: Mapping[str, Sequence[str]], name: str) -> Any:
    """`hostvars | nexus_derived(inventory_hostname, groups, 'certbot_several')`: a name of deploy/derived/."""
    return rendering.value(HostvarsView(hostvars, groups), host, name)


def addresses(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> list[str]:
    """`hostvars | nexus_addresses(groups['web'])`: the own addresses of hosts, flat and each once."""
    return declarations.addresses(HostvarsView(hostvars, {}), hosts)


def address(hostvars: Mapping[str, Any], host: str) -> str:
    """`hostvars | nexus_address('db1')`: the first of a host's own addresses."""
    return declarations.address(HostvarsView(hostvars, {}), host)


def accepted(hostvars: Mapping[str, Any], host: str, role: str) -> list[dict[str, Any]]:
    """`hostvars | nexus_logins('db1', 'postgresql')`: who may log in there for the service, {"name", "password"} each.

    The one in use first; more than one while its password is renewed.
    """
    return logins.logins(HostvarsView(hostvars, {}), host, role)


def login_names(hostvars: Mapping[str, Any], host: str, role: str) -> list[str]:
    """`hostvars | nexus_login_names('db1', 'postgresql')`: their names alone."""
    return logins.names(HostvarsView(hostvars, {}), host, role)


def problems(sources: Iterable[str]) -> list[str]:
    """`ansible_inventory_sources | nexus_problems`: its problems, "file:line: key: message"."""
    return validation.report(sources, _ROOT)


def files_into(paths: Iterable[str], folder: str) -> list[dict[str, str]]:
    """`query('ansible.builtin.fileglob', 'library/*.py') | nexus_files_into('/usr/local/lib/library')`: files of the
    controller as entries of managed_host, by name, "path" and "content" each."""
    found = sorted((Path(path) for path in paths), key=lambda each: each.name)
    return [{"path": f"{folder}/{path.name}", "content": path.read_text()} for path in found]


def rabbitmq_hash(password: str, seed: str) -> str:
    """`rabbitmq_password | nexus_rabbitmq_hash(inventory_hostname)`: as RabbitMQ keeps it, the same each time.

    Base64 of a salt of 4 bytes, here drawn from *seed*, and of SHA-256 over the salt and the password
    (rabbitmq.com/docs/passwords, "This is the algorithm").
    """
    return _salted(password, hashlib.sha256(seed.encode()).digest()[:4])


def _salted(password: str, salt: bytes) -> str:
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _reported(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NexusError as Ansible reports a filter's failure: the message, without a traceback."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except NexusError as error:
            raise AnsibleFilterError(str(error)) from error

    return call


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        found: dict[str, Callable[..., Any]] = {
            "nexus_firewall_rules": firewall_rules,
            "nexus_firewall_outgoing": firewall_outgoing,
            "nexus_crons": crons,
            "nexus_holds": holds,
            "nexus_value": value,
            "nexus_derived": derived,
            "nexus_addresses": addresses,
            "nexus_address": address,
            "nexus_logins": accepted,
            "nexus_login_names": login_names,
            "nexus_problems": problems,
            "nexus_files_into": files_into,
            "nexus_rabbitmq_hash": rabbitmq_hash,
        }
        return {name: _reported(function) for name, function in found.items()}
