"""keepalived.conf, as the role renders it from the addresses that float and the hosts that are there."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from deploy.specs import ROOT


def render(**changes: Any) -> str:
    """The file for a pair on eth0, changed."""
    values = {
        "inventory_hostname": "one", "keepalived_link": "eth0", "keepalived_check_seconds": 0.5,
        "keepalived_router_id": 51, "keepalived_advert_seconds": 0.2, "keepalived_notify": "",
        "keepalived_addresses": ["192.0.2.10", "2001:db8::a"], "keepalived_ipv6": False,
        "keepalived_own": "192.0.2.11", "keepalived_peers": ["192.0.2.12", "192.0.2.13"],
    }
    loader = jinja2.FileSystemLoader(ROOT / "templates/etc/keepalived")
    environment = jinja2.Environment(
        loader=loader, trim_blocks=True, autoescape=False, undefined=jinja2.StrictUndefined
    )
    environment.filters["bool"] = bool
    return environment.get_template("keepalived.conf.j2").render(values | changes)


def block(text: str, name: str) -> list[str]:
    """The lines of the first block of that name, without their spaces."""
    inner = text.partition(f" {name} {{\n")[2] or text.partition(f"\n{name} {{\n")[2]
    return [line.strip() for line in inner.partition("}")[0].splitlines() if line.strip()]


def test_every_peer_is_named_and_must_have_come_by_no_router() -> None:
    assert block(render(), "unicast_peer") == [
        f"192.0.2.{number} min_ttl 255 max_ttl 255" for number in (12, 13)
    ]


def test_both_families_go_together() -> None:
    text = render()
    assert block(text, "virtual_ipaddress") == ["192.0.2.10/32 dev eth0"]
    assert block(text, "virtual_ipaddress_excluded") == ["2001:db8::a/128 dev eth0"]


def test_nobody_is_preferred() -> None:
    text = render()
    assert "state BACKUP\n" in text
    other = render(inventory_hostname="two", keepalived_own="192.0.2.12", keepalived_peers=["192.0.2.11", "192.0.2.13"])
    decisive = ("state", "priority", "weight", "advert_int")
    assert [line for line in text.splitlines() if line.split()[:1] and line.split()[0] in decisive] == [
        line for line in other.splitlines() if line.split()[:1] and line.split()[0] in decisive
    ]


def test_one_family_alone_needs_nothing_of_the_other() -> None:
    text = render(keepalived_addresses=["2001:db8::a"], keepalived_ipv6=True, keepalived_own="2001:db8::b",
                  keepalived_peers=["2001:db8::c"])
    assert block(text, "virtual_ipaddress") == ["2001:db8::a/128 dev eth0"]
    assert "virtual_ipaddress_excluded" not in text
    assert "192.0.2" not in text


def test_where_a_provider_moves_addresses_they_are_on_the_loopback_interface() -> None:
    text = render(keepalived_notify="/usr/local/sbin/notify-aws")
    assert 'notify "/usr/local/sbin/notify-aws"' in text
    assert block(text, "virtual_ipaddress") == ["192.0.2.10/32 dev lo"]
    assert "interface eth0\n" in text, "what is said between the hosts goes over the network all the same"


@pytest.mark.parametrize("notify", ["", "/usr/local/sbin/notify-aws"])
def test_the_last_host_has_the_addresses_for_good(notify: str) -> None:
    text = render(keepalived_peers=[], keepalived_notify=notify)
    place = "lo" if notify else "eth0"
    assert block(text, "static_ipaddress") == [f"192.0.2.10/32 dev {place}", f"2001:db8::a/128 dev {place}"]
    assert "vrrp_instance" not in text
    assert "vrrp_script" not in text
