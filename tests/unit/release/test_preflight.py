"""deploy.release.preflight: every condition that does not hold, at once; a sound fleet has none."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.errors import Exit
from deploy.release import lock, preflight
from deploy.release.facts import Certificate, HostFacts
from deploy.release.preflight import Problem
from deploy.release.state import HostState

from .asked import DATABASE, MIGRATIONS, SAID, WANTED, Fleet, Remote, Session

OLD_TRANSACTION = {"pid": 42, "seconds": 61.2, "user": "booking", "state": "idle in transaction"}


def _host(name: str = "web1", *, ahead: float = 0.0, **said: Any) -> HostFacts:
    return HostFacts(name, SAID | said, ahead=ahead, needs_bytes=600_000_000, needs_memory=300_000_000)


def _problems(
    *hosts: HostFacts,
    certificates: tuple[Certificate, ...] = (Certificate("lb1", 30),),
    database: dict[str, Any] | None = DATABASE,
    connections: int = 97,
    pending: tuple[str, ...] = (),
) -> list[Problem]:
    return preflight.problems(WANTED, hosts or (_host(),), certificates, "3.13", database, connections, pending)


def test_a_sound_fleet_has_no_problem() -> None:
    """The control of all that follows: each spoils one thing here."""
    assert _problems(_host("web1"), _host("web2", ahead=5.0)) == []


@pytest.mark.parametrize(
    ("said", "what", "mend"),
    [
        ({"settings_problem": "helper.json is missing"}, "helper.json is missing", "site.yml"),
        ({"credentials_missing": ["secret_key"]}, "secrets are missing: secret_key", "fab secrets.init --env test"),
        ({"python": ["3.11"]}, "built for Python 3.13; the host has 3.11", "release_python_version"),
        ({"python": []}, "the host has none", "release_python_version"),
        ({"free_bytes": 599_000_000}, "599 MB are free on its disk, 600 MB are needed", "release_keep"),
        ({"available_bytes": 299_000_000}, "299 MB of memory are available", "booking_app_web_workers"),
        (
            {"resolves": {"name": "booking.example", "addresses": [], "error": "the name is not known"}},
            "cannot resolve booking.example: the name is not known",
            "DNS record",
        ),
    ],
)
def test_what_a_host_lacks_is_named_with_what_mends_it(said: dict[str, Any], what: str, mend: str) -> None:
    (found,) = _problems(_host("web1"), _host("web2", **said))
    assert what in found.what
    assert found.where == "web2"
    assert mend in found.mend


def test_all_problems_of_all_hosts_are_named_at_once() -> None:
    found = _problems(
        _host("web1", python=["3.11"], free_bytes=0),
        HostFacts("web2", None, "no connection to 192.0.2.3 port 22: refused", "start the host"),
        _host("web3", credentials_missing=["secret_key"]),
        certificates=(Certificate("lb1", error="no TLS"), Certificate("lb2", 1.5)),
        connections=98,
    )
    assert [problem.where for problem in found] == ["web1", "web1", "web2", "web3", "lb1", "lb2", "the database"]


def test_a_host_that_does_not_answer_may_be_left_out() -> None:
    (found,) = _problems(_host("web1"), HostFacts("web2", None, "no connection"))
    assert (found.where, found.what) == ("web2", "no connection")
    assert "--without web2" in found.mend


def test_clocks_are_compared_with_one_another_and_with_this_machines() -> None:
    (found,) = _problems(_host("web1", ahead=-3.0), _host("web2", ahead=3.0))
    assert found.where == "web2"
    assert "its clock is 6.0 s ahead of that of web1" in found.what
    (found,) = _problems(_host("web1", ahead=-5.1))
    assert found.where == preflight.HERE, "a single host is compared with the controller"


def test_the_lock_of_another_run_is_a_problem_with_its_owner() -> None:
    held = dataclasses.replace(_host("web1"), held="ada holds the lock", freed="wait")
    assert _problems(held) == [Problem("ada holds the lock", "web1", "wait")]


def test_a_certificate_that_ends_soon_or_is_not_valid_is_a_problem_of_its_balancer() -> None:
    assert _problems(certificates=(Certificate("lb1", 7.0),)) == []
    (soon,) = _problems(certificates=(Certificate("lb1", 6.9),))
    assert "ends in 6.9 days, 7 are wanted" in soon.what
    (invalid,) = _problems(certificates=(Certificate("lb1", invalid="certificate has expired"),))
    assert "not valid: certificate has expired" in invalid.what
    assert "release_ca_file" in invalid.mend


def test_connections_must_fit_beside_the_reserved_ones() -> None:
    assert _problems(connections=97) == []
    (found,) = _problems(connections=98)
    assert "98 connections" in found.what
    assert "97 are there (max_connections 100, 3 of them reserved)" in found.what
    assert "postgresql_max_connections" in found.mend
    assert _problems(connections=1000, database=None) == [], "no release to ask the database with yet"


def test_a_long_transaction_counts_only_where_something_is_to_be_migrated() -> None:
    database = DATABASE | {"long": [OLD_TRANSACTION]}
    assert _problems(database=database) == []
    (found,) = _problems(database=database, pending=("shop.0002_drop",))
    assert "pid 42, idle in transaction) is open for 61 s" in found.what
    assert "pg_terminate_backend(42)" in found.mend
    young = DATABASE | {"long": [OLD_TRANSACTION | {"seconds": 59.0}]}
    assert _problems(database=young, pending=("shop.0002_drop",)) == []


def test_of_many_migrations_those_that_take_something_away_are_named() -> None:
    many = {f"shop.{number:04}_step": {"class": "expand"} for number in range(1, 20)}
    many |= {"shop.0020_drop": {"class": "contract"}}
    (plan,) = preflight.notes(many, DATABASE | {"applied": []})
    told = "shop.0020_drop (contract), 19, from shop.0001_step to shop.0019_step (expand)"
    assert plan == f"migrations to be applied: {told}"


def test_the_plan_of_the_migrations_is_told_with_their_class() -> None:
    assert preflight.notes(MIGRATIONS, DATABASE) == ["migrations to be applied: shop.0002_drop (contract)"]
    done = DATABASE | {"applied": list(MIGRATIONS), "long": [OLD_TRANSACTION]}
    plan, warning = preflight.notes(MIGRATIONS, done)
    assert plan == "migrations: nothing new"
    assert warning.startswith("warning: a transaction of booking")
    assert len(preflight.notes(MIGRATIONS, None)) == 1


def test_a_refusal_holds_every_problem_and_ends_with_the_code_of_preflight() -> None:
    first, second = Problem("a", "web1", "mend a"), Problem("b", "web2", "mend b")
    both = preflight.refusal([first, second])
    assert both.code == Exit.PREFLIGHT
    for part in ("2 conditions", "nothing was changed", "web1: a", "mend: mend a", "web2: b", "mend: mend b"):
        assert part in str(both)
    one = preflight.refusal([first])
    assert (one.where, one.mend) == ("web1", "mend a")


def _state(name: str, running: int = 1, *, web: bool = True, processes: bool = False) -> HostState:
    activations = tuple(f"20260101T000000Z-0000001.{n}" for n in range(running))
    return HostState(name, None, None, activations, (), (), web=web, processes=processes)


@pytest.mark.parametrize(
    ("states", "warm", "count"),
    [
        ([_state("web1"), _state("web2")], 900, 2 * (3 * 20 + 1)),
        ([_state("web1"), _state("web2")], 0, 2 * (2 * 20 + 1)),
        ([_state("web1", 4)], 900, 5 * 20 + 1),
        ([_state("web1", processes=True), _state("ops1", web=False, processes=True)], 0, 2 * 20 + 1 + 4 + 4),
    ],
)
def test_current_new_and_warm_activations_each_take_a_connection_a_thread(
    states: list[HostState], warm: int, count: int
) -> None:
    wanted = dataclasses.replace(WANTED, warm_seconds=warm)
    assert preflight.most_connections(Fleet(), states, wanted) == count  # type: ignore[arg-type] # a stand-in


HELD = {"token": 3, "owner": {"user": "ada", "machine": "elsewhere/1"}, "age_seconds": 5, "lease_seconds": 60}


def _check(session: Session, monkeypatch: pytest.MonkeyPatch, said: list[str] | None = None) -> list[Problem]:
    monkeypatch.setattr(preflight, "handshake", lambda address, port, name, wanted: Certificate(name, 30))
    artefact = SimpleNamespace(release="x", size=200_000_000, manifest={"python": "3.13", "migrations": MIGRATIONS})
    states = [dataclasses.replace(_state(name), releases=("x",) * (name == "web1")) for name in session.hosts]
    balancers = SimpleNamespace(addresses=["192.0.2.1"])
    loose: Any = preflight.check
    database = DATABASE | {"max_connections": 1000}
    found: list[Problem] = loose(
        session, balancers, WANTED, Fleet(), artefact, states, database, said.append if said is not None else None
    )
    return found


def test_checking_asks_every_host_and_never_raises_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    session = Session(Remote("web1"), Remote("web2", lost="the connection broke"))
    found = _check(session, monkeypatch, said)
    assert [(problem.where, problem.what, problem.mend) for problem in found] == [
        ("web2", "the connection broke", "start it")
    ]
    assert said == ["migrations to be applied: shop.0002_drop (contract)"]


def test_room_is_wanted_for_three_copies_of_a_release_that_is_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """web1 holds the release already; SAID has 900 MB free, 500 MB have to stay so."""
    (found,) = _check(Session(Remote("web1"), Remote("web2")), monkeypatch)
    assert (found.where, found.what) == ("web2", "900 MB are free on its disk, 1100 MB are needed")


def test_a_lock_counts_unless_it_is_ours_expired_or_of_a_dead_process_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(expired: bool, tokens: dict[str, int] | None = None) -> list[Problem]:
        return _check(Session(Remote("web1", lock=HELD | {"expired": expired}), tokens=tokens), monkeypatch)

    (problem,) = found(expired=False)
    assert "ada on elsewhere/1" in problem.what
    assert found(expired=True) == []
    assert found(expired=False, tokens={"web1": 3}) == []
    monkeypatch.setattr(lock, "is_dead", lambda owner: True)
    assert found(expired=False) == []


def test_problems_are_plain_data() -> None:
    assert json.loads(json.dumps(dataclasses.asdict(Problem("a", "b", "c")))) == {
        "what": "a",
        "where": "b",
        "mend": "c",
    }
