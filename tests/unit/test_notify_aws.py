"""scripts/notify-aws: the calls by which AWS moves an address, and when none is made."""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploy.specs import ROOT

ELASTIC, PRIVATE, SIX = "203.0.113.10", "192.0.2.10", "2001:db8::a"


class Ec2:
    """AWS's EC2: one elastic address, one IPv6 address that another interface has; some calls fail at first."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures = 0
        self.holder = "eni-other"

    def describe_addresses(self, *, Filters: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - AWS's own
        known = Filters[0]["Values"] == [ELASTIC]
        return {"Addresses": [{"AllocationId": "eipalloc-1", "NetworkInterfaceId": self.holder}] if known else []}

    def describe_network_interfaces(self, *, Filters: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - as above
        return {"NetworkInterfaces": [{"NetworkInterfaceId": self.holder}] if Filters else []}

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> None:
            if self.failures:
                self.failures -= 1
                raise OSError("throttled")
            self.calls.append((name, arguments))

        return call


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[ModuleType, Ec2]:
    loader = SourceFileLoader("notify_aws", str(ROOT / "scripts/notify-aws"))
    spec = importlib.util.spec_from_loader("notify_aws", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    ec2 = Ec2()
    path = tmp_path / "addresses"
    path.write_text(f"{ELASTIC}\n{PRIVATE}\n\n{SIX}\n")
    known = {"LIST": path, "PAUSE_SECONDS": 0, "connect": lambda: ec2, "interface": lambda: "eni-own"}
    for name, value in known.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(module.syslog, "syslog", lambda *said: None)
    return module, ec2


ALL = [
    ("associate_address", {"AllocationId": "eipalloc-1", "NetworkInterfaceId": "eni-own", "AllowReassociation": True}),
    ("assign_private_ip_addresses",
     {"NetworkInterfaceId": "eni-own", "PrivateIpAddresses": [PRIVATE], "AllowReassignment": True}),
    ("unassign_ipv6_addresses", {"NetworkInterfaceId": "eni-other", "Ipv6Addresses": [SIX]}),
    ("assign_ipv6_addresses", {"NetworkInterfaceId": "eni-own", "Ipv6Addresses": [SIX]}),
]


def test_a_master_takes_every_kind_of_address(aws: tuple[ModuleType, Ec2]) -> None:
    module, ec2 = aws
    assert module.main(["INSTANCE", "front", "MASTER", "150"]) == 0
    assert ec2.calls == ALL


@pytest.mark.parametrize("state", ["BACKUP", "FAULT", "STOP"])
def test_who_is_not_master_asks_for_nothing(aws: tuple[ModuleType, Ec2], state: str) -> None:
    module, ec2 = aws
    assert module.main(["INSTANCE", "front", state, "150"]) == 0
    assert ec2.calls == []


def test_what_fails_is_tried_again_and_what_worked_is_not(aws: tuple[ModuleType, Ec2]) -> None:
    module, ec2 = aws
    ec2.failures = 2
    assert module.main(["INSTANCE", "front", "MASTER", "150"]) == 0
    assert sorted(name for name, _ in ec2.calls) == sorted(name for name, _ in ALL)


def test_what_cannot_be_moved_is_a_failure(aws: tuple[ModuleType, Ec2]) -> None:
    module, ec2 = aws
    ec2.failures = 1000
    assert module.main(["INSTANCE", "front", "MASTER", "150"]) == 1


def test_an_ipv6_address_that_is_here_already_is_left_alone(aws: tuple[ModuleType, Ec2]) -> None:
    module, ec2 = aws
    ec2.holder = "eni-own"
    module.main(["INSTANCE", "front", "MASTER", "150"])
    assert [name for name, _ in ec2.calls] == ["associate_address", "assign_private_ip_addresses"]


def test_show_changes_nothing(aws: tuple[ModuleType, Ec2], capsys: pytest.CaptureFixture[str]) -> None:
    module, ec2 = aws
    assert module.main(["--show"]) == 0
    assert "eni-other" in capsys.readouterr().out
    assert ec2.calls == []
