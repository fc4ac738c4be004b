"""After a failure every host is back on what it ran before, and the ledger says what is to blame."""

from __future__ import annotations

import pytest

from deploy.errors import Exit
from deploy.release import conduct, engine
from deploy.release.remote import HostError, UnreachableError
from deploy.release.verify import VerifyError

from .fleet import FakeHost, breaks, failed, serves, well
from .front import FakeEdge
from .machine import NEW, OLD


def test_a_release_that_the_balancer_does_not_show_goes_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("balancer", "shows", VerifyError("the load balancer shows 503"))
    error = failed(engine.deploy, "test", NEW)
    assert (serves(fleet), error.code) == ({OLD}, Exit.ROLLED_BACK)
    assert "shows 503" in error.what


def test_an_automatic_rollback_is_no_success(fleet: dict[str, FakeHost]) -> None:
    """trellis-cli 99: rolled back by itself, and CI stayed green."""
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web2", "swap")
    assert failed(engine.deploy, "test", NEW).code == 11
    assert fleet["web1"].ledger[-1]["outcome"] == "failed"


@pytest.mark.parametrize("act", ["stage", "start", "swap", "retire"])
def test_an_interrupted_run_puts_every_host_back(fleet: dict[str, FakeHost], act: str) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web2", act, KeyboardInterrupt())
    assert failed(engine.deploy, "test", NEW).code == Exit.INTERRUPTED
    assert serves(fleet) == {OLD}
    assert fleet["web1"].ledger[-1]["outcome"] == "interrupted"


def test_a_host_that_cannot_be_put_back_needs_a_person_and_does_not_hold_up_the_others(
    fleet: dict[str, FakeHost],
) -> None:
    engine.deploy("test", OLD)
    swap, stop = breaks("web2", "swap"), breaks("web2", "retire")

    def both(host: str, act: str) -> None:
        swap(host, act)
        stop(host, act)

    FakeHost.faults = both
    error = failed(engine.deploy, "test", NEW)
    assert error.code == Exit.NEEDS_PERSON
    assert {fleet["web1"].current, fleet["web3"].current} == {OLD}
    assert "web2" in error.what


def test_a_host_that_is_back_but_not_ready_ends_the_new_release_all_the_same(mixed: dict[str, FakeHost]) -> None:
    """Its socket was moved and its web server then answers 503: the new release's workers have no business there."""
    engine.deploy("test", OLD)
    red = breaks("web2", "swap", skip=1)
    FakeHost.faults, FakeHost.after = breaks("jobs1", "swap"), red
    assert failed(engine.deploy, "test", NEW).code == Exit.NEEDS_PERSON
    assert serves(mixed) == {OLD}
    assert mixed["web2"].running == [f"{OLD}.1"]


def test_putting_back_does_not_wait_for_what_ends(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web2", "swap")
    failed(engine.deploy, "test", NEW)
    words = [words for words, _ in fleet["web1"].calls if words[0] == "retire"]
    assert [one[-1] == "--no-wait" for one in words] == [False, True], "the deploy that went well waited"


def test_an_interrupted_run_waits_for_no_answer_longer_than_it_has(fleet: dict[str, FakeHost]) -> None:
    """Rule 9: from Ctrl-C to the end of the command are seven seconds."""
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web2", "swap", KeyboardInterrupt())
    failed(engine.deploy, "test", NEW)
    last = [(words[0], patience) for words, patience in fleet["web3"].calls[-5:]]
    assert [act for act, _ in last] == ["renew", "status", "retire", "record", "unlock"]
    assert max(patience for _, patience in last) <= 4


def test_what_an_interrupted_run_could_not_wait_for_is_put_right_by_the_next(
    fleet: dict[str, FakeHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.deploy("test", OLD)
    monkeypatch.setattr(conduct, "INTERRUPTED_SECONDS", -1)
    stop = breaks("web2", "swap", KeyboardInterrupt())
    slow = breaks("web1", "swap", UnreachableError("web1", "no answer to `swap` within 1 s"), skip=1)

    def both(host: str, act: str) -> None:
        stop(host, act)
        slow(host, act)

    FakeHost.faults = both
    told = failed(engine.deploy, "test", NEW)
    assert (told.code, FakeEdge.drained_hosts) == (Exit.INTERRUPTED, set())
    assert "web1" in told.what
    assert fleet["web1"].ledger[-1]["outcome"] == "begun"
    well()
    engine.restart("test")
    assert serves(fleet) == {OLD}


def test_a_full_disk_keeps_no_host_from_being_put_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    switch, full = breaks("web3", "swap"), breaks("web1", "renew", HostError("web1", "No space left on device"))

    def both(host: str, act: str) -> None:
        switch(host, act)
        full(host, act)

    FakeHost.faults = both
    assert failed(engine.deploy, "test", NEW).code == Exit.ROLLED_BACK
    assert serves(fleet) == {OLD}
    assert FakeEdge.drained_hosts == set()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (("web2", "start", None), "failed"),
        (("web2", "swap", None), "failed"),
        (("web2", "swap", HostError("web2", "No space left on device")), "interrupted"),
        (("web2", "stage", None), "interrupted"),
        (("web2", "retire", None), "interrupted"),
        (("balancer", "shows", VerifyError("it shows the other")), "interrupted"),
        (("web2", "start", ZeroDivisionError("oh")), "interrupted"),
    ],
)
def test_only_what_the_release_is_to_blame_for_makes_it_one_that_failed(
    fleet: dict[str, FakeHost], fault: tuple[str, str, Exception | None], outcome: str
) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks(*fault)
    failed(engine.deploy, "test", NEW)
    assert fleet["web1"].ledger[-1]["outcome"] == outcome


def test_even_a_defect_of_the_engine_puts_every_host_back(fleet: dict[str, FakeHost]) -> None:
    engine.deploy("test", OLD)
    FakeHost.faults = breaks("web3", "swap", ZeroDivisionError("oh"))
    error = failed(engine.deploy, "test", NEW)
    assert (serves(fleet), error.code) == ({OLD}, Exit.ROLLED_BACK)
    assert "ZeroDivisionError: oh" in error.what
