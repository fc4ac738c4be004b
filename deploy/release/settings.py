"""What the engine needs to know of an environment, typed, in one place."""

from __future__ import annotations

import configparser
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import UsageError
from deploy.inventory import Fleet, Host
from deploy.specs import ROOT

DEPLOY_USER = "deploy"


@dataclass(frozen=True)
class Settings:
    """The release_* variables of an environment; durations in seconds, paths absolute, "" for the default."""

    env: str
    domain: str
    keep: int
    allow_dirty: bool
    python: str
    python_version: str
    platform: str
    ca_file: str
    known_hosts_file: str
    connect_seconds: int
    verify_seconds: int
    ready_seconds: int
    lease_seconds: int = 60
    warm_seconds: int = 900
    probe_rate: int = 20
    certificate_days: int = 7
    clock_seconds: int = 5
    free_bytes: int = 500_000_000


@dataclass(frozen=True)
class Target:
    """How ssh reaches a host: address, port, private key file ("" for the user's agent and own keys)."""

    name: str
    address: str
    port: int
    key_file: str


def default_environment(root: Path = ROOT) -> str:
    """The environment that ansible.cfg names as the default inventory. UsageError: it names none."""
    config = configparser.ConfigParser()
    config.read(root / "ansible.cfg")
    path = Path(config.get("defaults", "inventory", fallback=""))
    if path.parent != Path("inventories"):
        raise UsageError(
            f"no environment below inventories/ is the default inventory (it says {str(path)!r})",
            str(root / "ansible.cfg"),
            "name one: --env NAME",
        )
    return path.name


def read(fleet: Fleet, root: Path = ROOT) -> Settings:
    """The engine's settings, as they hold on the first web host."""
    first = fleet.need("web")[0].name

    def path(name: str) -> str:
        value = str(fleet.value(first, name))
        return str(root / Path(value).expanduser()) if value else ""

    return Settings(
        env=fleet.env,
        domain=str(fleet.value(first, "loadbalancer_domain")),
        keep=int(fleet.value(first, "release_keep")),
        allow_dirty=bool(fleet.value(first, "release_allow_dirty")),
        python=str(fleet.value(first, "release_python")),
        python_version=str(fleet.value(first, "release_python_version")),
        platform=str(fleet.value(first, "release_platform")),
        ca_file=path("release_ca_file"),
        known_hosts_file=path("release_known_hosts_file"),
        connect_seconds=int(fleet.value(first, "release_connect_seconds")),
        verify_seconds=int(fleet.value(first, "release_verify_seconds")),
        ready_seconds=int(fleet.value(first, "release_ready_seconds")),
        lease_seconds=int(fleet.value(first, "release_lease_seconds")),
        warm_seconds=int(fleet.value(first, "release_warm_minutes")) * 60,
        probe_rate=int(fleet.value(first, "release_probe_rate")),
        certificate_days=int(fleet.value(first, "release_certificate_days")),
        clock_seconds=int(fleet.value(first, "release_clock_seconds")),
        free_bytes=int(fleet.value(first, "release_free_megabytes")) * 1_000_000,
    )


def hosts(fleet: Fleet) -> list[Host]:
    """The hosts that run releases: web and workers, each once, in inventory order. PreflightError: no web host."""
    return list({host.name: host for host in [*fleet.need("web"), *fleet.group("workers")]}.values())


def has_processes(fleet: Fleet, host: str) -> bool:
    """Whether worker processes run on a host: one of booking_app_processes names a group that it is in."""
    groups = {group for process in fleet.value(host, "booking_app_processes") for group in process["groups"]}
    return any(host == member.name for group in groups for member in fleet.group(group))


def target(host: Host, root: Path = ROOT) -> Target:
    """How to reach a host as the deploy account, from Ansible's own connection variables."""
    key = str(host.variables.get("ansible_ssh_private_key_file") or "")
    return Target(
        name=host.name,
        address=host.address,
        port=int(host.variables.get("ansible_port") or 22),
        key_file=str(root / Path(key).expanduser()) if key else "",
    )
