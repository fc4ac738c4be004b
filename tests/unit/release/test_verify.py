"""What proves that a release serves: every host's own answers, through every balancer."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.errors import PreflightError
from deploy.release.verify import ANSWERS_EACH, Balancers, VerifyError, tag
from deploy.specs import ROOT

from .conftest import NEW, OLD
from .edge import Balancer, Reply, balancer

LOCAL = "127.0.0.1"
TWO = {"web1": tag("web1"), "web2": tag("web2")}
ONE = {"web1": tag("web1")}


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Balancer]:
    with balancer(tmp_path) as running:
        yield running


def balancers(edge: Balancer, *addresses: str) -> Balancers:
    return Balancers(addresses or (LOCAL,), edge.settings, edge.port)


def hasty(edge: Balancer, *addresses: str) -> Balancers:
    """With little patience, for what will never come. Settings hold whole seconds, but nobody wants to wait them."""
    patience: Any = 0.3
    return Balancers(addresses or (LOCAL,), replace(edge.settings, verify_seconds=patience), edge.port)


def answers(edge: Balancer, *replies: Reply) -> None:
    """The replies, in turn, for ever."""
    row = itertools.cycle(replies)
    edge.answer = lambda number: next(row)


def test_an_answer_that_is_not_ready_counts_only_where_nothing_can_be(edge: Balancer) -> None:
    answers(edge, Reply(NEW, "web1", status=503))
    balancers(edge).shows(NEW, ONE, everywhere=True, red=True)
    with pytest.raises(VerifyError):
        hasty(edge).shows(NEW, ONE, everywhere=True)


def test_a_host_is_shown_once_it_has_answered_with_the_release(edge: Balancer) -> None:
    answers(edge, Reply(OLD, "web2"), Reply(OLD, "web2"), Reply(NEW, "web1"))
    balancers(edge).shows(NEW, ONE, everywhere=False)
    assert len(edge.requests) == 3


def test_the_release_from_another_host_proves_nothing_of_this_one(edge: Balancer) -> None:
    """coolify 8445, capistrano 1556: it says that it worked, and did nothing."""
    answers(edge, Reply(NEW, "web2"), Reply(OLD, "web1"))
    with pytest.raises(VerifyError, match=f"does not show {NEW} on web1 within 0.3 s"):
        hasty(edge).shows(NEW, ONE, everywhere=False)


def test_everywhere_means_five_answers_of_each_host_and_none_of_another_release(edge: Balancer) -> None:
    answers(edge, Reply(NEW, "web1"), Reply(NEW, "web2"))
    balancers(edge).shows(NEW, TWO, everywhere=True)
    assert len(edge.requests) == 2 * ANSWERS_EACH


def test_one_answer_of_the_old_release_begins_the_count_anew(edge: Balancer) -> None:
    late = {2 * ANSWERS_EACH - 1: Reply(OLD, "web2")}
    edge.answer = lambda number: late.get(number, Reply(NEW, f"web{number % 2 + 1}"))
    balancers(edge).shows(NEW, TWO, everywhere=True)
    assert len(edge.requests) == 4 * ANSWERS_EACH


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (Reply(OLD, "web2"), f"200 from release {OLD}, by web2"),
        (Reply(NEW, "web2", status=503), f"503 from release {NEW}, by web2"),
        (Reply(OLD, "web3"), f"200 from release {OLD}, by a host that it was not to come from"),
        (Reply(status=503), "503 from release unknown, from a host that does not name itself"),
        (Reply(NEW), f"200 from release {NEW}, from a host that does not name itself (X-Served-By)"),
    ],
)
def test_what_keeps_a_release_from_being_shown_everywhere_is_told(edge: Balancer, other: Reply, said: str) -> None:
    answers(edge, Reply(NEW, "web1"), other)
    with pytest.raises(VerifyError) as caught:
        hasty(edge).shows(NEW, TWO, everywhere=True)
    assert said in str(caught.value)
    assert "web2" in str(caught.value).partition("within")[0], "the host that is missing is named"


def test_a_host_that_never_answers_is_not_proven_by_the_others(edge: Balancer) -> None:
    answers(edge, Reply(NEW, "web1"))
    with pytest.raises(VerifyError, match="on web2 within"):
        hasty(edge).shows(NEW, TWO, everywhere=True)


def test_waiting_for_a_release_does_not_become_a_load_of_its_own(edge: Balancer) -> None:
    answers(edge, Reply(OLD, "web1"))
    with pytest.raises(VerifyError):
        hasty(edge).shows(NEW, ONE, everywhere=False)
    assert len(edge.requests) < 40


def test_every_balancer_is_asked(edge: Balancer) -> None:
    answers(edge, Reply(NEW, "web1"))
    with pytest.raises(VerifyError, match=r"at 127\.0\.0\.2 does not show .* last other answer: ConnectError"):
        hasty(edge, LOCAL, "127.0.0.2").shows(NEW, ONE, everywhere=False)
    assert edge.requests


def test_a_look_begins_with_a_new_connection(edge: Balancer) -> None:
    """A kept one could lead into a balancer's process that ends."""
    answers(edge, Reply(NEW, "web1"))
    asked = balancers(edge)
    asked.shows(NEW, ONE, everywhere=True)
    asked.shows(NEW, ONE, everywhere=True)
    assert len({connection for _, _, connection in edge.requests}) == 2
    assert {path for path, _, _ in edge.requests} == {"/readyz"}


def test_preflight_wants_an_answer_and_does_not_mind_which(edge: Balancer) -> None:
    answers(edge, Reply(status=503))
    balancers(edge).preflight()
    with pytest.raises(PreflightError, match=r"does not answer for booking\.example"):
        balancers(edge, "127.0.0.2").preflight()


def test_a_certificate_that_nobody_vouches_for_is_no_answer(edge: Balancer, tmp_path: Path) -> None:
    with balancer(tmp_path) as other:  # another certificate in the place of the one that is trusted
        stranger = Balancers([LOCAL], edge.settings, edge.port)
        edge.requests.clear()
        assert "CERTIFICATE_VERIFY_FAILED" in stranger.ask(LOCAL).error
        assert edge.requests == []
        assert Balancers([LOCAL], other.settings, other.port).ask(LOCAL).status == 200, "control: the other is trusted"


def test_a_missing_authority_is_told_with_the_variable_that_names_it(edge: Balancer) -> None:
    with pytest.raises(PreflightError, match="cannot be read") as caught:
        Balancers([LOCAL], replace(edge.settings, ca_file="/nowhere/ca.pem"))
    assert "release_ca_file" in caught.value.mend


def test_a_slow_balancer_does_not_hold_a_look_for_ever(edge: Balancer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.release.verify.REQUEST_SECONDS", 0.2)
    answers(edge, Reply(NEW, "web1", seconds=30))
    began = time.monotonic()
    with pytest.raises(VerifyError, match="ReadTimeout"):
        hasty(edge).shows(NEW, ONE, everywhere=False)
    assert time.monotonic() - began < 3


def test_a_host_signs_with_what_the_engine_looks_for() -> None:
    """The template takes the same digest of the same name."""
    template = (ROOT / "templates/etc/nginx/sites-enabled/booking.j2").read_text()
    assert "add_header X-Served-By {{ (inventory_hostname | sha256)[:8] }} always;" in template
    assert tag("web1") == "659a7fb2"  # printf web1 | sha256sum
