"""Which hosts are patched, in which order, and what is away meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import inventory
from deploy.inventory import Fleet
from deploy.patch import plan
from deploy.patch.facts import Intent, Survey, Upgrade
from deploy.patch.plan import Turn
from tests.unit.specimen import Specimen, listing

SMALL = {
    "loadbalancers": ["lb1"], "web": ["web1", "web2"], "workers": ["web1", "ops1"],
    "database": ["db1"], "cache": ["ops1"], "broker": ["ops1"],
}  # fmt: skip
DUE = (Upgrade("curl", "1", "2"),)


def fleet_of(tmp_path: Path, groups: dict[str, list[str]]) -> Fleet:
    names = sorted({name for members in groups.values() for name in members})
    hosts = {name: {"ansible_host": f"192.0.2.{number}"} for number, name in enumerate(names, start=1)}
    return inventory.parse("test", listing(groups, **hosts), Specimen(tmp_path).tree)


@pytest.fixture
def small(tmp_path: Path) -> Fleet:
    return fleet_of(tmp_path, SMALL)


def test_while_one_of_two_web_servers_is_patched_nothing_is_away(small: Fleet) -> None:
    assert plan.turn(small, "web1", []) == Turn("web1", web=True, worker=True)
    assert plan.turn(small, "web2", []) == Turn("web2", web=True)


@pytest.mark.parametrize(
    ("host", "away"),
    [
        ("lb1", ("the only load balancer",)),
        ("db1", ("the database, a single one",)),
        ("ops1", ("the cache, a single one", "the broker, a single one")),
    ],
)
def test_what_there_is_one_of_is_away(small: Fleet, host: str, away: tuple[str, ...]) -> None:
    assert plan.turn(small, host, []).away == away


def test_only_web_server_is_away_with_everything_else_of_its_host(tmp_path: Path) -> None:
    one = fleet_of(tmp_path, {"loadbalancers": ["solo"], "web": ["solo"], "database": ["solo"]})
    found = plan.turn(one, "solo", [])
    assert found.alone
    assert found.away == ("the database, a single one", "the only load balancer", "the only web server")


def test_of_a_pair_with_a_floating_address_nothing_is_away(tmp_path: Path) -> None:
    pair = fleet_of(tmp_path, SMALL | {"loadbalancers": ["lb1", "lb2"]})
    assert plan.turn(pair, "lb1", ["192.0.2.100"]) == Turn("lb1", balancer=True, paired=True)


def test_two_balancers_without_a_floating_address_are_no_pair(tmp_path: Path) -> None:
    two = fleet_of(tmp_path, SMALL | {"loadbalancers": ["lb1", "lb2"]})
    assert plan.turn(two, "lb1", []).away == ("one load balancer, whose address does not move",)


def test_a_floating_address_of_a_single_balancer_is_none_of_a_pair(small: Fleet) -> None:
    assert plan.turn(small, "lb1", ["192.0.2.100"]).away == ("the only load balancer",)


def test_replica_is_not_taken_for_a_switchover(tmp_path: Path) -> None:
    two = fleet_of(tmp_path, SMALL | {"database": ["db1", "db2"]})
    assert plan.turn(two, "db1", []).away == ("the database, which this command does not move to another host",)


def test_web_servers_come_before_balancers_and_both_before_what_is_away() -> None:
    turns = [Turn("db1", away=("x",)), Turn("lb1", balancer=True, paired=True), Turn("ops9"), Turn("web1", web=True)]
    surveys = {turn.host: Survey(turn.host, "b", DUE) for turn in turns}
    assert [turn.host for turn in plan.order(turns, surveys)] == ["ops9", "web1", "lb1", "db1"]


def test_what_a_killed_run_left_comes_first_and_what_is_up_to_date_not_at_all() -> None:
    turns = [Turn("web1", web=True), Turn("web2", web=True), Turn("db1", away=("x",))]
    surveys = {
        "web1": Survey("web1", "b", DUE), "web2": Survey("web2", "b"),
        "db1": Survey("db1", "b", intent=Intent((), "b")),
    }  # fmt: skip
    assert [turn.host for turn in plan.order(turns, surveys)] == ["db1", "web1"]


@pytest.mark.parametrize(
    ("drained", "states", "left"),
    [
        ((), [{"web1": "UP", "web2": "UP"}], ["web2"]),
        ((), [{"web1": "UP", "web2": "UP 1/2"}], ["web2"]),
        (("web2",), [{"web1": "UP", "web2": "UP"}], []),
        ((), [{"web1": "UP", "web2": "DOWN"}], []),
        ((), [{"web1": "UP", "web2": "UP"}, {"web1": "UP", "web2": "DOWN"}], []),
        ((), [{}], []),
    ],
)
def test_who_serves_meanwhile_is_up_and_in_rotation_on_every_balancer(
    drained: tuple[str, ...], states: list[dict[str, str]], left: list[str]
) -> None:
    assert plan.others(Turn("web1", web=True), ["web1", "web2"], drained, states) == left


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (Survey("web1", "b", error="E: no"), "apt-get cannot tell"),
        (Survey("web1", "b", removed=("nginx",)), "remove nginx"),
        (Survey("web1", "b", foreign=True), "policy-rc.d"),
    ],
)
def test_what_stands_against_an_upgrade_is_known_before_it_begins(said: Survey, what: str) -> None:
    ((host, told, mend),) = plan.obstacles({"web1": said})
    assert host == "web1"
    assert what in told
    assert mend


def test_upgrade_that_was_cut_off_is_no_obstacle_to_its_own_completion() -> None:
    assert plan.obstacles({"web1": Survey("web1", "b", error="E: dpkg was interrupted", half=True)}) == []
