"""What the ledger says: where a rollback goes, what is kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.release import ledger
from deploy.release.ledger import Entry

ALL = {"A", "B", "C", "D"}


def entries(text: str) -> list[Entry]:
    """A history from a short text: "A B! C~ -A": A deployed, B failed, C interrupted, rolled back to A."""
    found = []
    for number, word in enumerate(text.split()):
        outcome = {"!": ledger.FAILED, "~": ledger.INTERRUPTED}.get(word[-1], ledger.GOOD)
        action = "rollback" if word.startswith("-") else "deploy"
        time = f"2026-01-01T00:00:{number:02d}Z"
        found.append(Entry(str(number), action, word.strip("-!~"), outcome, time, time, "ann@laptop"))
    return found


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", None),
        ("A", None),
        ("A B", "A"),
        ("A B C", "B"),
        ("A B C -B", "A"),
        ("A B C -B -A", None),
        ("A B -A C", "A"),
        ("A B! C", "A"),
        ("A B~ C", "A"),
        ("A B C!", "A"),
        ("A B C B! D", "C"),
        ("A B! B C", "B"),
        ("A A", None),
        ("A B B", "A"),
        ("A B A", "B"),
        ("A! B", None),
        ("A B -A!", None),
    ],
)
def test_a_rollback_goes_to_the_good_release_before_the_current_one(text: str, target: str | None) -> None:
    known = entries(text)
    assert ledger.rollback_target(known, [ledger.last_good(known)], ALL) == target


def test_a_release_that_is_not_on_every_host_is_passed_over() -> None:
    assert ledger.rollback_target(entries("A B C"), ["C"], {"A", "C"}) == "A"


def test_a_split_fleet_goes_to_the_last_good_release_itself() -> None:
    assert ledger.rollback_target(entries("A B"), ["B", "C"], ALL) == "B"
    assert ledger.rollback_target(entries("A B"), ["C", "C"], ALL) == "B"


def test_hosts_ledgers_are_merged_each_entry_once_in_order() -> None:
    one, two = entries("A B C"), entries("A B C")
    lines = [
        [entry.as_json() for entry in one[:2]],
        [entry.as_json() for entry in reversed(two)],
        [{"id": "x"}],
    ]
    assert ledger.merge(lines) == one


def test_a_run_that_failed_after_it_was_written_down_as_good_failed() -> None:
    good = entries("A")[0].as_json()
    bad = good | {"outcome": ledger.FAILED, "finished": "2026-01-01T00:01:00Z"}
    assert [entry.outcome for entry in ledger.merge([[good, bad], [good]])] == [ledger.FAILED]


def test_entries_of_a_later_version_are_read() -> None:
    line = entries("A")[0].as_json() | {"something": "new"}
    assert ledger.merge([[line]]) == entries("A")


def test_the_last_good_releases_are_kept_and_failed_ones_do_not_count() -> None:
    assert ledger.keep(entries("A B C! D! -A"), 2) == {"A", "B"}
    assert ledger.keep(entries("A B A B A C"), 2) == {"A", "C"}


def line(identity: str, outcome: str, finished: str) -> dict[str, Any]:
    """A line of a ledger."""
    time = "2026-01-01T00:00:00Z"
    return Entry(identity, "deploy", "A", outcome, time, finished, "ann").as_json()


def test_a_run_that_only_began_on_one_host_has_ended_if_another_knows_how_whatever_their_clocks_say() -> None:
    begun, good = line("1", ledger.BEGUN, "2026-01-01T00:09:00Z"), line("1", ledger.GOOD, "2026-01-01T00:00:01Z")
    for hosts in ([[begun], [begun, good]], [[begun, good], [begun]]):
        assert [entry.outcome for entry in ledger.merge(hosts)] == [ledger.GOOD]


def test_only_the_last_run_can_be_one_that_was_killed() -> None:
    killed = replace(entries("A")[0], outcome=ledger.BEGUN)
    later = entries("A B")[1]
    assert ledger.unfinished([killed]) == killed
    assert ledger.unfinished([killed, later]) is None
    assert ledger.unfinished([later]) is None
    assert ledger.unfinished([]) is None


def test_a_killed_or_undone_run_changes_neither_the_way_back_nor_what_is_kept() -> None:
    begun = replace(entries("A B C")[2], outcome=ledger.BEGUN)
    undone = replace(begun, outcome=ledger.UNDONE)
    for last in (begun, undone):
        known = [*entries("A B"), last]
        assert ledger.last_good(known) == "B"
        assert ledger.rollback_target(known, ["B"], ALL) == "A"
        assert ledger.keep(known, 5) == {"A", "B"}


def test_a_failed_restart_makes_no_release_a_bad_one() -> None:
    known = entries("A B")
    restart = replace(known[0], id="r", action="restart", outcome=ledger.FAILED, started="2026-01-01T00:00:00.5Z")
    assert ledger.rollback_target([known[0], restart, known[1]], ["B"], ALL) == "A"


def test_a_new_entry_is_later_than_all_others_even_if_another_machines_clock_was_ahead() -> None:
    ahead = replace(entries("A")[0], started="2999-01-01T00:00:00.000000Z")
    assert ledger.now([ahead]) == "2999-01-01T00:00:00.000001Z"
    assert ledger.now() < ahead.started


def test_what_is_known_of_a_release_is_taken_from_its_last_entry_that_tells() -> None:
    told = replace(entries("A")[0], commit="c" * 40, author="Ann")
    assert ledger.about("A", [told, entries("A A")[1]])["author"] == "Ann"
    assert ledger.about("B", [told]) == {}
