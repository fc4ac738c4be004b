"""A small source tree with one sound environment, for tests that spoil one thing in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deploy import validation
from deploy.errors import NoValueError
from deploy.specs import Tree, tree

# A fleet of it, by addresses that none of its inventories has.
GROUPS = {"loadbalancers": ["lb1"], "web": ["web1", "web2"], "database": ["db1"]}
PEERS: dict[str, dict[str, object]] = {
    "lb1": {"ansible_host": "203.0.113.1", "base_addresses": ["192.0.2.10", "2001:db8::10"]},
    "web1": {"ansible_host": "192.0.2.9"},
    "web2": {"ansible_host": "192.0.2.100"},
    "db1": {"ansible_host": "192.0.2.4", "base_ssh_sources": ["10.0.0.0/8", "198.51.100.7"]},
}
_FILES = {
    "site.yml": """
- hosts: localhost:all
  tasks: []
- hosts: all
  roles: [{role: base, tags: base}, pki]
- hosts: database
  roles: [{role: postgresql}]
- hosts: web
  roles: [{role: nginx}]
- hosts: loadbalancers
  roles: [{role: haproxy}]
""",
    "deploy/shared_variables.yml": """
options:
  loadbalancer_domain: {type: str, required: true, description: The name.}
  loadbalancer_floating_addresses: {type: list, elements: str, default: [], description: Between them.}
  release_keep: {type: int, default: 5, description: Releases kept (count).}
""",
    "roles/base/defaults/main.yml": """
base_packages: [sudo, curl]
base_addresses: []
base_ssh_port: 22
base_level: low
base_ratio: 0.5
base_strict: true
base_users: []
base_options: {}
base_home: /srv
""",
    "roles/base/meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      base_packages: {type: list, elements: str, default: [sudo, curl], description: Packages.}
      base_addresses: {type: list, elements: str, default: [], description: Own addresses.}
      base_ssh_port: {type: int, default: 22, description: The port of sshd.}
      base_ssh_sources: {type: list, elements: str, required: true, description: Networks.}
      base_level: {type: str, choices: [low, high], default: low, description: A choice.}
      base_ratio: {type: float, default: 0.5, description: A number.}
      base_strict: {type: bool, default: true, description: A switch.}
      base_home: {type: path, default: /srv, description: A folder.}
      base_options: {type: dict, default: {}, description: Anything.}
      base_users:
        type: list
        elements: dict
        default: []
        description: People.
        options:
          name: {type: str, required: true, description: Their name.}
          uid: {type: int, description: Their number.}
""",
    "roles/base/meta/declares.yml": """
ports:
  - {port: base_ssh_port, protocol: tcp, networks: base_ssh_sources, purpose: ssh}
""",
    "roles/pki/meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      pki_key: {type: str, required: true, description: Secret.}
      pki_certificate: {type: str, required: true, description: Its certificate.}
""",
    "roles/pki/meta/declares.yml": "secrets: [{name: pki_key, kind: ca, certificate: pki_certificate}]",
    "roles/postgresql/defaults/main.yml": "{postgresql_port: 5432, postgresql_packages: [postgresql-17]}",
    "roles/postgresql/meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      postgresql_port: {type: int, default: 5432, description: The port.}
      postgresql_packages: {type: list, elements: str, default: [postgresql-17], description: Packages.}
      postgresql_password: {type: str, required: true, description: Secret.}
""",
    "roles/postgresql/meta/declares.yml": """
ports:
  - {port: postgresql_port, protocol: tcp, groups: [web, workers], purpose: SQL}
secrets:
  - {name: postgresql_password, kind: token}
""",
    "roles/nginx/defaults/main.yml": "{nginx_port: 8080, nginx_packages: [nginx-light, curl]}",
    "roles/nginx/meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      nginx_port: {type: int, default: 8080, description: The port.}
      nginx_packages: {type: list, elements: str, default: [nginx-light, curl], description: Packages.}
""",
    "roles/nginx/meta/declares.yml": """
ports:
  - {port: nginx_port, protocol: tcp, groups: [loadbalancers], purpose: HTTP from the balancers}
""",
    "roles/haproxy/defaults/main.yml": "{haproxy_port: 443, haproxy_maxconn: 4000}",
    "roles/haproxy/meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      haproxy_port: {type: int, default: 443, description: The port.}
      haproxy_maxconn: {type: int, default: 4000, description: Connections (count).}
""",
    "roles/haproxy/meta/declares.yml": """
ports:
  - {port: haproxy_port, protocol: tcp, world: true, purpose: HTTPS}
""",
    # A role that no play uses: what it requires, nobody has to set.
    "roles/idle/meta/argument_specs.yml": """
argument_specs:
  main:
    options:
      idle_wish: {type: str, required: true, description: Never asked for.}
""",
    "inventories/common.yml": "ansible_user: ops\n",
    "inventories/test/hosts.yml": """all:
  hosts:
    lb1: {ansible_host: 192.0.2.1, base_addresses: [192.0.2.1, "2001:db8::1"]}
    web1: {ansible_host: 192.0.2.2}
    web2: {ansible_host: 192.0.2.3}
    db1: {ansible_host: 192.0.2.4}
  children:
    loadbalancers:
      hosts:
        lb1:
    web:
      hosts:
        web1:
        web2:
    database:
      hosts:
        db1:
""",
    "inventories/test/group_vars/all/10-environment.yml": """---
loadbalancer_domain: booking.example.org
base_ssh_sources: [198.51.100.0/24]
""",
    "inventories/test/group_vars/all/20-secrets.yml": """---
pki_key: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6162
pki_certificate: written
postgresql_password: !vault |
  $ANSIBLE_VAULT;1.1;AES256
  6162
""",
}

ENVIRONMENT = "inventories/test/group_vars/all/10-environment.yml"
SECRETS = "inventories/test/group_vars/all/20-secrets.yml"
HOSTS = "inventories/test/hosts.yml"


class Specimen:
    """The tree below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for path, text in _FILES.items():
            self.write(path, text)
        link = root / "inventories/test/group_vars/all/00-common.yml"
        link.symlink_to("../../../common.yml")

    @property
    def tree(self) -> Tree:
        """The tree as the resolver reads it."""
        return tree(self.root)

    def write(self, path: str, text: str) -> None:
        """Replace a file."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def add(self, path: str, text: str) -> None:
        """Append to a file."""
        self.write(path, (self.root / path).read_text() + text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace a part of a file that is there."""
        text = (self.root / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    def problems(self) -> list[str]:
        """What validation says of the environment."""
        return [str(p) for p in validation.problems(self.root / "inventories/test", self.root)]

    def view(self, groups: dict[str, list[str]], **values: Mapping[str, Any]) -> PlainView:
        """A view of plain data: groups, and variables by host."""
        every = list(dict.fromkeys(host for hosts in groups.values() for host in hosts))
        return PlainView({"all": every, **groups}, self.tree, values)


@dataclass
class PlainView:
    """A `declarations.View` of plain data."""

    groups: dict[str, list[str]]
    tree: Tree
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def value(self, host: str, name: str) -> Any:
        """A variable on `host`, else its default."""
        try:
            return self.values[host][name] if name in self.values.get(host, {}) else self.tree.default(name)
        except KeyError:
            raise NoValueError(name) from None


def listing(groups: dict[str, list[str]], **hostvars: dict[str, Any]) -> dict[str, Any]:
    """What `ansible-inventory --list` prints for these groups."""
    return {
        "_meta": {"hostvars": hostvars},
        "all": {"children": ["ungrouped", *groups]},
        **{name: {"hosts": hosts} for name, hosts in groups.items()},
    }


def plain(path: Path) -> Any:
    """A YAML file without tags."""
    return yaml.safe_load(path.read_text())
