"""The only reader of inventories/: what `ansible-inventory --list` says of one, as a typed Fleet."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy import inventory_cache
from deploy.errors import NoValueError, PreflightError, UsageError
from deploy.specs import ROOT, Tree, tree

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Host:
    """One host. address: where ssh connects. addresses: the host's own, IPv4 first, never empty."""

    name: str
    address: str
    addresses: tuple[str, ...]
    variables: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Fleet:
    """One environment: its hosts, and its groups as host names, both in inventory order."""

    env: str
    hosts: Mapping[str, Host]
    groups: Mapping[str, Sequence[str]]
    tree: Tree = field(repr=False)

    def group(self, name: str) -> list[Host]:
        """Hosts of a group, in inventory order; empty for a group that this environment does not have."""
        return [self.hosts[host] for host in self.groups.get(name, ())]

    def need(self, name: str) -> list[Host]:
        """Hosts of a group that must not be empty. PreflightError: it is."""
        if hosts := self.group(name):
            return hosts
        raise PreflightError(
            f"group '{name}' has no hosts",
            f"inventories/{self.env}/hosts.yml",
            f"put a host into '{name}' there",
        )

    def value(self, host: str, name: str) -> Any:
        """A variable as it holds on `host`: the inventory over role defaults over shared defaults.

        NoValueError: neither set nor defaulted. UsageError: no such host; or the value is encrypted or a
        template, which only Ansible can resolve.
        """
        if host not in self.hosts:
            raise UsageError(f"no host '{host}' in environment '{self.env}'; there are: {', '.join(self.hosts)}")
        where = f"inventories/{self.env}"
        variables = self.hosts[host].variables
        if name not in variables:
            try:
                return self.tree.default(name)
            except KeyError:
                raise NoValueError(
                    f"{name} has no value for host '{host}'", where, f"set it in {where}/group_vars/all/"
                ) from None
        return _plain(variables[name], f"{name} (host '{host}')", where)

    def roles(self, host: str) -> tuple[str, ...]:
        """Names of the roles that site.yml runs on `host`."""
        return self.tree.roles_of(host, self.groups)


def environments(root: Path = ROOT) -> list[str]:
    """Names of the environments under inventories/, sorted."""
    folder = root / "inventories"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []


def folder(env: str, root: Path = ROOT) -> Path:
    """The folder of an environment. UsageError: there is none of that name."""
    path = root / "inventories" / env
    if _NAME.fullmatch(env) and path.is_dir():
        return path
    known = ", ".join(environments(root)) or "none"
    raise UsageError(
        f"no environment '{env}' under inventories/; there are: {known}",
        mend="name one with --env NAME, or raise a sandbox of your own with `make up`",
    )


def load(env: str, root: Path = ROOT) -> Fleet:
    """The fleet of environment `env`; encrypted values stay as they are, no vault password is asked for.

    UsageError: no such environment, or Ansible cannot read it. PreflightError: ansible-inventory is missing.
    """
    path = folder(env, root)
    source = tree(root)
    listing = inventory_cache.cached(path, root, lambda: veiled(_ask(env, path, root), source))
    return parse(env, listing, source)


def veiled(said: str, source: Tree) -> str:
    """What `ansible-inventory --list` said, each secret that an inventory holds in the clear as if it were encrypted:
    nobody reads one by a `Fleet`, and what is said is kept in a file."""
    hidden = {name for role in source.role_names for secret in source.role(role).secrets for name in secret.hidden}
    listing = json.loads(said)
    for variables in listing.get("_meta", {}).get("hostvars", {}).values():
        for name in hidden & variables.keys():
            if isinstance(variables[name], str):
                variables[name] = {"__ansible_vault": ""}
    return json.dumps(listing)


def chosen() -> str:
    """The environment that NEXUS_ENV names, else ansible.cfg's default one."""
    from deploy.release.settings import default_environment

    return os.environ.get("NEXUS_ENV") or default_environment()


def fleet() -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """pyinfra's inventory, for `pyinfra deploy.inventory:fleet`: hosts with how to reach them, by group.

    UsageError: the inventory is not sound, each problem with file and line, as site.yml tells them; or what pyinfra was
    restricted to is nothing, of which it would make a success.
    """
    import click

    from deploy import validation
    from deploy.provision import connection

    found = load(chosen())
    if context := click.get_current_context(silent=True):
        selected(found, context.params.get("limit") or (), context.params.get("exclude") or ())
    if problems := validation.report([str(folder(found.env))]):
        raise UsageError("\n".join(["the inventory is to be mended first", *problems]))
    hosts = {host.name: (host.name, connection.data(found, host)) for host in found.hosts.values()}
    return {group: [hosts[name] for name in names] for group, names in found.groups.items() if names}


def selected(fleet: Fleet, limit: Sequence[str], exclude: Sequence[str] = ()) -> list[str]:
    """The hosts that a run is restricted to, by names, groups or patterns; all unless limited. UsageError: a limit is
    the name of nothing, or no host is left."""
    names = list(fleet.hosts)
    if limit:
        names = [host for name in limit for host in _matching(fleet, name, "--limit")]
    excluded = {host for name in exclude for host in _matching(fleet, name, "--exclude")}
    if left := [name for name in dict.fromkeys(names) if name not in excluded]:
        return left
    raise UsageError("every host is excluded", "--exclude", "leave one")


def _matching(fleet: Fleet, pattern: str, option: str) -> list[str]:
    if found := fleet.groups.get(pattern) or fnmatch.filter(fleet.hosts, pattern):
        return list(found)
    known = ", ".join([*fleet.hosts, *(group for group, hosts in fleet.groups.items() if hosts)])
    raise UsageError(f"no host is called '{pattern}', and no group with hosts", option, f"one of: {known}")


def _ask(env: str, path: Path, root: Path) -> str:
    """What `ansible-inventory --list` prints."""
    command = Path(sys.executable).parent / "ansible-inventory"
    try:
        run = subprocess.run(
            [str(command), "-i", str(path), "--list"],
            cwd=root,
            env={**os.environ, "ANSIBLE_CONFIG": str(root / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError:
        raise PreflightError(f"{command} is missing", mend="scripts/bootstrap, then call this from its .venv") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"ansible-inventory did not answer within {_TIMEOUT_S} s", f"inventories/{env}") from None
    # A file that does not parse is a mere warning to ansible-inventory: fewer hosts, exit code 0.
    if run.returncode != 0 or "Unable to parse" in run.stderr:
        raise UsageError(f"ansible-inventory cannot read it:\n{run.stderr.strip()}", f"inventories/{env}")
    return run.stdout


def parse(env: str, listing: Mapping[str, Any], source: Tree) -> Fleet:
    """A Fleet from the JSON of `ansible-inventory --list`. UsageError: no hosts, or a templated address."""
    hostvars: Mapping[str, Mapping[str, Any]] = listing.get("_meta", {}).get("hostvars", {})
    groups = {"all": _members(listing, "all")}
    groups.update({name: _members(listing, name) for name in listing if name not in ("_meta", "all")})
    if not groups["all"]:
        raise UsageError(
            "the inventory has no hosts", f"inventories/{env}", f"add hosts to inventories/{env}/hosts.yml"
        )
    hosts = {name: _host(env, name, hostvars.get(name, {})) for name in groups["all"]}
    return Fleet(env, hosts, groups, source)


def _host(env: str, name: str, variables: Mapping[str, Any]) -> Host:
    where = f"inventories/{env}/hosts.yml"
    address = str(_plain(variables.get("ansible_host") or name, f"ansible_host (host '{name}')", where))
    own = _plain(variables.get("base_addresses") or [address], f"base_addresses (host '{name}')", where)
    return Host(name, address, tuple(str(a) for a in own), variables)


def _members(listing: Mapping[str, Any], group: str) -> list[str]:
    entry = listing.get(group) or {}
    names = list(entry.get("hosts", ()))
    for child in entry.get("children", ()):
        names.extend(_members(listing, child))
    return list(dict.fromkeys(names))


def _plain(value: Any, what: str, where: str) -> Any:
    if isinstance(value, dict) and "__ansible_vault" in value:
        raise UsageError(f"{what} is encrypted; only Ansible reads secrets", where)
    if templated(value):
        raise UsageError(f"{what} is a template ('{{{{ … }}}}'); write the value itself", where)
    return value


def templated(value: Any) -> bool:
    """Whether a value, or anything in it, is a Jinja template."""
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    if isinstance(value, dict):
        return any(templated(v) for v in value.values())
    return isinstance(value, list | tuple) and any(templated(v) for v in value)
