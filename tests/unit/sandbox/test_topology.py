"""Hosts, addresses, and a subnet that nobody uses."""

import pytest

from lab import topology
from lab.topology import SUBNETS, build, free_index

SERVICES = {"loadbalancers", "web", "database", "cache", "broker", "monitoring", "workers"}


@pytest.mark.parametrize("size", topology.SIZES)
def test_every_size_has_every_service_and_the_rest_of_the_world(size):
    raised = build(size, 3)
    assert {group for host in raised.fleet for group in host.groups} == SERVICES
    assert raised.outside not in raised.fleet
    addresses = [a for host in raised.hosts for a in (host.ipv4, host.ipv6)] + [raised.gateway4, raised.gateway6]
    assert len(set(addresses)) == len(addresses)
    assert all(host.ipv4.startswith("10.89.3.") for host in raised.hosts)


def test_several_balancers_have_addresses_between_them_that_no_host_has():
    for size in topology.SIZES:
        raised = build(size, 3)
        own = {a for host in raised.hosts for a in (host.ipv4, host.ipv6)} | {raised.gateway4, raised.gateway6}
        assert bool(raised.floating) == (len(raised.group("loadbalancers")) > 1)
        assert not own & set(raised.floating)
    assert build("small", 3).front == ("10.89.3.11", "fd89:6e78:7573:3::b")
    assert build("full", 3).front == build("full", 3).floating == ("10.89.3.10", "fd89:6e78:7573:3::a")


def test_interface_names_fit_the_kernels_fifteen_characters():
    for size in topology.SIZES:
        raised = build(size, SUBNETS - 1)
        assert len(raised.bridge) <= 15
        assert all(len(f"vb-{host.name}-{raised.index}") <= 15 for host in raised.hosts)


def test_each_bridge_has_a_link_layer_address_of_its_own_that_nobody_makes():
    found = [build("full", index).gateway_mac for index in range(SUBNETS)]
    assert found[0] == "02:00:0a:59:00:01"
    assert len(set(found)) == SUBNETS
    assert all(int(each[:2], 16) & 0b11 == 0b10 for each in found), "of one host, and locally administered"


def test_first_free_subnet_is_taken():
    assert free_index(taken=[], networks=[], interfaces=[]) == 0


def test_subnets_of_other_sandboxes_routes_and_bridges_are_left_alone():
    found = free_index(taken=[0], networks=["10.89.1.0/24", "192.0.2.0/24", "fd00::/64"], interfaces=["lo", "nexus2"])
    assert found == 3


def test_route_that_covers_some_subnets_covers_them_all():
    assert free_index(taken=[], networks=["10.89.0.0/18"], interfaces=[]) is None
    assert free_index(taken=[], networks=["10.89.0.0/19"], interfaces=[]) == 32


def test_default_route_covers_none():
    assert free_index(taken=[], networks=["0.0.0.0/0"], interfaces=[]) == 0


def test_no_subnet_free_is_none():
    assert free_index(taken=range(SUBNETS), networks=[], interfaces=[]) is None
