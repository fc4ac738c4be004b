"""A pair of load balancers: the floating address is elsewhere before a balancer is touched, or nothing is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from deploy.patch import front
from deploy.patch.front import Front
from deploy.patch.plan import Turn
from deploy.release.balancer import Standing
from deploy.release.remote import HostError

FLOATING, LB1, LB2 = "192.0.2.100", "192.0.2.1", "192.0.2.2"


class Pair:
    """Two balancers and who answers; keepalived on the first."""

    def __init__(self) -> None:
        self.up = {FLOATING: True, LB1: True, LB2: True}
        self.takes_over = True
        self.done: list[str] = []
        self.name, self.host = "lb1", SimpleNamespace(address=LB1)
        self.addresses = [LB1, LB2]
        self.port = 443

    def ask(self, address: str) -> Any:
        return SimpleNamespace(status=200 if self.up[address] else 0)

    def act(self, script: str, **_: object) -> str:
        self.done.append(script.split()[1])
        self.up[FLOATING] = self.takes_over or "start" in script
        return ""


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Pair:
    found = Pair()
    monkeypatch.setattr(front, "Balancers", lambda *_: found)
    monkeypatch.setattr(front, "SERVICE_SECONDS", 0.01)
    monkeypatch.setattr(front, "MOVE_SECONDS", 0.01)
    monkeypatch.setattr(front, "POLL_SECONDS", 0)
    return found


def of(pair: Pair, *standing: Standing) -> Front:
    edge = SimpleNamespace(status=lambda: {str(number): each for number, each in enumerate(standing)})
    run: Any = SimpleNamespace(balancers=pair, settings=None, edge=edge)
    return Front(run, [FLOATING])


def test_address_moves_before_a_balancer_is_touched_and_comes_back_once_it_answers(pair: Pair) -> None:
    host: Any = pair
    edge = of(pair)
    edge.move(host)
    assert pair.done == ["stop"]
    edge.back(host, LB1)
    assert pair.done == ["stop", "start"]


def test_keepalived_is_not_stopped_where_no_other_balancer_shows_the_service(pair: Pair) -> None:
    pair.up[LB2] = False
    host: Any = pair
    with pytest.raises(HostError, match="no other load balancer"):
        of(pair).move(host)
    assert pair.done == []


def test_address_that_nobody_takes_is_taken_back(pair: Pair) -> None:
    pair.takes_over = False
    host: Any = pair
    with pytest.raises(HostError, match="not answered by another"):
        of(pair).move(host)
    assert pair.done == ["stop", "start"]
    assert pair.up[FLOATING]


def test_balancer_that_does_not_show_the_service_does_not_get_the_address(pair: Pair) -> None:
    pair.up[LB1] = False
    host: Any = pair
    with pytest.raises(HostError, match="does not show the service"):
        of(pair).back(host, LB1)
    assert pair.done == []


def test_clients_are_asked_for_at_the_floating_address_while_a_balancer_is_away(pair: Pair) -> None:
    pair.up[LB1] = False
    assert of(pair).ready()


def standing(drained: set[str], **servers: str) -> Standing:
    return Standing(frozenset(drained), False, 0, None, servers)


def test_web_server_is_spared_only_where_another_serves_on_every_balancer(pair: Pair) -> None:
    web1, both = Turn("web1", web=True), ["web1", "web2"]
    of(pair, standing(set(), web1="UP", web2="UP")).spare(web1, both)
    for seen in (standing({"web2"}, web1="UP", web2="DRAIN"), standing(set(), web1="UP", web2="DOWN")):
        with pytest.raises(HostError, match="no other web server"):
            of(pair, standing(set(), web1="UP", web2="UP"), seen).spare(web1, both)
