"""Stand-ins for what a preflight asks: the settings, hosts, the inventory, and what they answer."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

from deploy.release.remote import UnreachableError
from deploy.release.settings import Settings

WANTED = Settings(
    env="test", domain="booking.example", keep=3, allow_dirty=False, python="python3.13", python_version="3.13",
    platform="x", ca_file="", known_hosts_file="", connect_seconds=2, verify_seconds=1, ready_seconds=1,
)  # fmt: skip
SAID: dict[str, Any] = {
    "clock": 0.0, "free_bytes": 900_000_000, "available_bytes": 400_000_000, "python": ["3.13"],
    "credentials_missing": [], "settings_problem": "",
    "resolves": {"name": "booking.example", "addresses": ["192.0.2.1"], "error": ""},
}  # fmt: skip
DATABASE: dict[str, Any] = {
    "applied": ["shop.0001_initial"], "max_connections": 100, "reserved": 3, "connections": 9, "long": [],
}  # fmt: skip
MIGRATIONS = {
    "shop.0001_initial": {"class": "expand", "since": ""},
    "shop.0002_drop": {"class": "contract", "since": "20260101T000000Z-0000001"},
}


class Fleet:
    """Stands for the inventory."""

    values: dict[str, Any] = {  # noqa: RUF012 - never changed
        "booking_app_web_workers": 5, "booking_app_web_threads": 4, "booking_app_activation_megabytes": 300,
        "booking_app_processes": [{"name": "worker"}, {"name": "mail"}], "loadbalancer_https_port": 443,
    }  # fmt: skip
    balancers = (SimpleNamespace(name="lb1", address="192.0.2.1"),)

    def value(self, host: str, name: str) -> Any:
        return self.values[name]

    def need(self, name: str) -> list[SimpleNamespace]:
        return list(self.balancers)

    group = need


class Remote:
    """Stands for one host: answers `preflight` and `status`."""

    def __init__(self, name: str, *, clock: float = 0.0, lock: dict[str, Any] | None = None, lost: str = "") -> None:
        self.name, self.clock, self.lock, self.lost = name, clock, lock, lost
        self.target = SimpleNamespace(address="192.0.2.2")

    def call(self, command: tuple[str, ...], timeout: float = 0) -> dict[str, Any]:
        if self.lost:
            raise UnreachableError(self.name, self.lost, "start it")
        if command[3] == "status":
            return {"lock": self.lock}
        return SAID | {"clock": time.time() + self.clock}


class Session:
    """Stands for the session."""

    def __init__(self, *remotes: Remote, tokens: dict[str, int] | None = None) -> None:
        self.remotes = {remote.name: remote for remote in remotes}
        self.hosts = list(self.remotes)
        self.tokens = tokens or {}

    def each(self, hosts: list[str], act: Any) -> dict[str, Any]:
        return {host: act(self.remotes[host]) for host in hosts}
