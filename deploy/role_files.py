"""One role's files as typed data: defaults, argument specs, declared ports, scheduled jobs, secrets and holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.errors import UsageError
from deploy.rules import PROTOCOLS, WITH_PORTS

_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.*-]+")  # Debian Policy 5.6.1


@dataclass(frozen=True)
class Port:
    """A port that a role listens on, or that it reaches elsewhere, by names of variables; the other end is the union
    of groups, networks and world.

    port: "" for a protocol that has none; a number only of what is reached. url: the variable with the address that
    says the port. limited: the networks' connections are counted. when: it is open only where this variable is set.
    """

    port: str | int
    protocol: str
    purpose: str
    groups: tuple[str, ...] = ()
    networks: str = ""
    world: bool = False
    limited: bool = False
    when: str = ""
    url: str = ""


# While a secret is renewed two values are accepted, the other one in the variable with this at its end.
NEXT, PREVIOUS = "_next", "_previous"


@dataclass(frozen=True)
class Secret:
    """A secret. kind: token and ca are drawn by `fab secrets.init`, a ca's certificate with its key; given is
    somebody else's, such as a provider's key, and optional.

    rotation: what `fab secrets.rotate --only` calls it; "" if it cannot be renewed so. generation: the variable that
    counts its renewals, where each has a login of its own. stand_in: the secret that serves instead where an
    environment was made before there was this one.
    """

    name: str
    kind: str
    certificate: str = ""
    rotation: str = ""
    generation: str = ""
    stand_in: str = ""

    @property
    def drawn(self) -> bool:
        """Whether `fab secrets.init` draws it."""
        return self.kind != "given"

    @property
    def names(self) -> tuple[str, ...]:
        """Every variable that holds a part of it."""
        return (self.name, self.certificate) if self.certificate else (self.name,)

    @property
    def hidden(self) -> tuple[str, ...]:
        """Every variable that holds what nobody may see, at any step of its renewal."""
        return (self.name, self.name + NEXT, self.name + PREVIOUS)


@dataclass(frozen=True)
class Cron:
    """Scheduled jobs that a role wants run: the variable that lists them, and the groups whose hosts have them."""

    jobs: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Role:
    """One role as its files describe it; options is the argument spec's `options` of the entry point main. holds:
    Debian packages that no unattended upgrade may touch, `*` for any characters."""

    name: str
    defaults: Mapping[str, Any]
    options: Mapping[str, Mapping[str, Any]]
    ports: tuple[Port, ...]
    secrets: tuple[Secret, ...]
    crons: tuple[Cron, ...] = ()
    outgoing: tuple[Port, ...] = ()
    holds: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages that the role installs unless the inventory says otherwise."""
        return tuple(self.defaults.get(f"{self.name}_packages") or ())


def read(path: Path, empty: Any = None) -> Any:
    """A YAML file as plain data; `empty` (default {}) when missing or empty. UsageError: not YAML."""
    try:
        with path.open(encoding="utf-8") as stream:
            data = yaml.load(stream, Loader=yaml.CSafeLoader)  # SafeLoader in C: ten times as fast
    except FileNotFoundError:
        data = None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise UsageError(f"not readable as YAML: {getattr(error, 'problem', error)}", f"{path}{line}") from error
    return data if data is not None else ({} if empty is None else empty)


def read_role(folder: Path) -> Role:
    """The role in `folder`; a missing file is an empty one. UsageError: a file says what it may not."""
    specs, declares = folder / "meta/argument_specs.yml", folder / "meta/declares.yml"
    main = (read(specs).get("argument_specs") or {}).get("main") or {}
    declared = read(declares)
    return Role(
        name=folder.name,
        defaults=read(folder / "defaults/main.yml"),
        options=options(main.get("options"), specs),
        ports=tuple(_port(entry, declares) for entry in mappings(declared.get("ports"), declares)),
        secrets=tuple(_secret(entry, declares) for entry in mappings(declared.get("secrets"), declares)),
        crons=tuple(_cron(entry, declares) for entry in mappings(declared.get("crons"), declares)),
        outgoing=tuple(_outgoing(entry, declares) for entry in mappings(declared.get("outgoing"), declares)),
        holds=_holds(declared.get("holds"), declares),
    )


_ENDS = {"groups", "networks", "world"}


def _port(entry: Mapping[str, Any], path: Path) -> Port:
    _only(entry, {"port", "protocol", "purpose", "when", "limited", *_ENDS}, {"protocol", "purpose"}, path)
    if not isinstance(entry.get("port", ""), str):
        raise UsageError(f"port {entry['port']}: the name of a variable is expected", str(path))
    return _end(entry, path)


def _outgoing(entry: Mapping[str, Any], path: Path) -> Port:
    if "url" in entry:
        _only(entry, {"url", "purpose", "when"}, {"url", "purpose"}, path)
        when = entry.get("when") or ""
        return Port("", "tcp", entry["purpose"], world=True, when=when, url=entry["url"])
    _only(entry, {"port", "protocol", "purpose", "when", *_ENDS}, {"protocol", "purpose"}, path)
    return _end(entry, path)


def _end(entry: Mapping[str, Any], path: Path) -> Port:
    name = entry.get("port", "")
    if entry["protocol"] not in PROTOCOLS:
        raise UsageError(f"port {name}: protocol is tcp or udp, or vrrp, not {entry['protocol']!r}", str(path))
    if entry["protocol"] in WITH_PORTS and not name:
        raise UsageError(f"missing key port in {dict(entry)}", str(path))
    if entry["protocol"] not in WITH_PORTS and (name or entry.get("limited")):
        raise UsageError(f"port {name}: {entry['protocol']} has no ports, and no connections to count", str(path))
    port = Port(
        port=name,
        protocol=entry["protocol"],
        purpose=entry["purpose"],
        groups=tuple(entry.get("groups") or ()),
        networks=entry.get("networks") or "",
        world=bool(entry.get("world", False)),
        limited=bool(entry.get("limited", False)),
        when=entry.get("when") or "",
    )
    if not (port.groups or port.networks or port.world):
        raise UsageError(f"port {name}: says nobody who may connect (groups, networks or world)", str(path))
    return port


def _secret(entry: Mapping[str, Any], path: Path) -> Secret:
    optional = ("certificate", "rotation", "generation", "stand_in")
    _only(entry, {"name", "kind", *optional}, {"name", "kind"}, path)
    secret = Secret(entry["name"], entry["kind"], **{key: entry.get(key) or "" for key in optional})
    if secret.kind not in ("token", "ca", "given") or bool(secret.certificate) != (secret.kind == "ca"):
        raise UsageError(f"secret {secret.name}: kind is token, given, or ca with a certificate", str(path))
    if secret.rotation and secret.kind != "token":
        raise UsageError(f"secret {secret.name}: only a token is renewed by a rotation", str(path))
    return secret


def _cron(entry: Mapping[str, Any], path: Path) -> Cron:
    _only(entry, {"jobs", "groups"}, {"jobs", "groups"}, path)
    if not entry["groups"] or not isinstance(entry["groups"], list):
        raise UsageError(f"crons {entry['jobs']}: groups lists those whose hosts have them", str(path))
    return Cron(entry["jobs"], tuple(entry["groups"]))


def _holds(data: Any, path: Path) -> tuple[str, ...]:
    for name in data or ():
        if not isinstance(name, str) or not _PACKAGE.fullmatch(name):
            raise UsageError(f"holds: {name!r} is no name of a package, with * for any characters", str(path))
    return tuple(data or ())


def _only(entry: Mapping[str, Any], known: set[str], needed: set[str], path: Path) -> None:
    if unknown := set(entry) - known:
        raise UsageError(f"unknown key {', '.join(sorted(unknown))} in {dict(entry)}", str(path))
    if missing := needed - set(entry):
        raise UsageError(f"missing key {', '.join(sorted(missing))} in {dict(entry)}", str(path))


def options(data: Any, path: Path) -> Mapping[str, Mapping[str, Any]]:
    """The `options` of an argument spec, found in `path`. UsageError: not a mapping of mappings."""
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(option, dict) for option in data.values()):
        raise UsageError("options is a mapping of variables to their specifications", str(path))
    return data


def mappings(data: Any, path: Path) -> list[Mapping[str, Any]]:
    """A list of mappings found in `path`; empty for None. UsageError: something else."""
    if not isinstance(data, list | None) or not all(isinstance(entry, dict) for entry in data or ()):
        raise UsageError("a list of mappings is expected", str(path))
    return data or []
