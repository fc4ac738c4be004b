"""Which releases run on which database: a column's whole life over four releases, and what is in between."""

from __future__ import annotations

import itertools

import pytest

from deploy.release import migrations
from deploy.release.migrations import Migration

BASE, EXPANDS, UNUSED, CONTRACTS = (f"2026010{day}T000000Z-000000{day}" for day in (1, 2, 3, 4))
INITIAL, ADDS, FILLS, FORGETS, DROPS = (
    "shop.0001_initial",
    "shop.0002_full_name",
    "shop.0003_fill",
    "shop.0004_forget_name",
    "shop.0005_drop_name",
)
EXPAND = Migration()
CONTRACT = Migration(contract=True, since=UNUSED)
WHOLE = {INITIAL: EXPAND, ADDS: EXPAND, FILLS: EXPAND, FORGETS: EXPAND, DROPS: CONTRACT}
# base; a column is added; it is filled and the old one is no longer used; the old one is dropped
LAST = {BASE: INITIAL, EXPANDS: ADDS, UNUSED: FORGETS, CONTRACTS: DROPS}
KNOWN = {release: {name: WHOLE[name] for name in WHOLE if name <= last} for release, last in LAST.items()}
CYCLE = list(LAST)


def runs(release: str, newest: str, table: migrations.Known = KNOWN) -> bool:
    """Whether a release runs on the database that the newest release has left."""
    return not migrations.refusals(release, KNOWN[release], KNOWN[newest].keys(), table)


@pytest.mark.parametrize(
    ("newest", "allowed"),
    [
        (BASE, [BASE]),
        (EXPANDS, [BASE, EXPANDS]),
        (UNUSED, [BASE, EXPANDS, UNUSED]),
        (CONTRACTS, [UNUSED, CONTRACTS]),
    ],
)
def test_a_release_runs_again_until_what_it_uses_is_taken_away(newest: str, allowed: list[str]) -> None:
    """cookiecutter-django 1133, dokploy 3169: migrations against rollback."""
    before = CYCLE[: CYCLE.index(newest) + 1]
    assert [release for release in before if runs(release, newest)] == allowed


def test_without_the_declaration_every_release_would_run() -> None:
    """The control: what refuses is the contraction, and nothing else."""
    blind = {release: dict.fromkeys(names, EXPAND) for release, names in KNOWN.items()}
    assert all(runs(release, CONTRACTS, blind) for release in CYCLE)


def test_the_declaration_says_which_release_may_run() -> None:
    for since, allowed in ((BASE, CYCLE), (EXPANDS, CYCLE[1:]), (CONTRACTS, CYCLE[3:])):
        table = KNOWN | {CONTRACTS: WHOLE | {DROPS: Migration(contract=True, since=since)}}
        assert [release for release in CYCLE if runs(release, CONTRACTS, table)] == allowed


def test_a_refusal_names_the_migration_and_the_first_release_that_runs() -> None:
    (text,) = migrations.refusals(EXPANDS, KNOWN[EXPANDS], WHOLE, KNOWN)
    assert DROPS in text
    assert EXPANDS in text
    assert f"runs without it is {UNUSED}" in text


def test_what_is_applied_and_described_nowhere_refuses() -> None:
    (text,) = migrations.refusals(UNUSED, KNOWN[UNUSED], [*KNOWN[UNUSED], "shop.0009_unknown"], KNOWN)
    assert "shop.0009_unknown" in text
    assert "docs/runbooks/rollback-refused.md" in text


def test_what_a_release_knows_itself_never_refuses_it() -> None:
    assert runs(CONTRACTS, CONTRACTS, {})
    assert migrations.refusals(BASE, {INITIAL, "shop.0009_unknown"}, [INITIAL, "shop.0009_unknown"], {}) == []


def test_a_migration_that_is_not_applied_refuses_nothing() -> None:
    assert migrations.refusals(BASE, KNOWN[BASE], [], KNOWN) == []


def test_where_releases_differ_about_a_migration_the_strictest_counts() -> None:
    said = [EXPAND, Migration(contract=True, since=BASE), Migration(contract=True, since=CONTRACTS)]
    for order in itertools.permutations(said):
        table = {str(number): {DROPS: one} for number, one in enumerate(order)}
        (text,) = migrations.refusals(UNUSED, KNOWN[UNUSED], [DROPS], table)
        assert CONTRACTS in text


def test_two_commits_of_one_second_have_no_order_so_neither_is_trusted_to_be_older() -> None:
    one, other = "20260103T000000Z-aaaaaaa", "20260103T000000Z-bbbbbbb"
    for release, since in ((one, other), (other, one)):
        table = {CONTRACTS: {DROPS: Migration(contract=True, since=since)}}
        assert migrations.refusals(release, [], [DROPS], table)
        assert not migrations.refusals(since, [], [DROPS], table)


@pytest.mark.parametrize(
    ("serving", "broken"),
    [
        ((BASE,), True),
        ((EXPANDS,), True),
        ((UNUSED,), False),
        ((UNUSED, EXPANDS), True),
        ((CONTRACTS,), False),
        ((), False),
    ],
)
def test_nothing_is_dropped_that_a_serving_release_still_uses(serving: tuple[str, ...], broken: bool) -> None:
    pending = migrations.pending(WHOLE, KNOWN[UNUSED])
    assert pending == {DROPS: CONTRACT}
    found = migrations.contract_refusals(serving, pending)
    assert bool(found) == broken
    assert all(DROPS in text and f"deploy {UNUSED}, or a later release, first" in text for text in found)


def test_every_release_that_would_break_is_named() -> None:
    (text,) = migrations.contract_refusals({EXPANDS, BASE, UNUSED}, {DROPS: CONTRACT})
    assert f"{BASE}, {EXPANDS}, serving now" in text


def test_a_serving_release_that_knows_the_migration_is_not_broken_by_it() -> None:
    """An emptied database is migrated from the start, whatever serves."""
    assert migrations.contract_refusals([EXPANDS], {DROPS: CONTRACT}, KNOWN)
    assert not migrations.contract_refusals([EXPANDS], {DROPS: CONTRACT}, KNOWN | {EXPANDS: WHOLE})


def test_expansions_stop_nothing() -> None:
    assert migrations.contract_refusals(CYCLE, {ADDS: EXPAND, FILLS: EXPAND}) == []


def test_a_contraction_has_to_name_an_earlier_release() -> None:
    for release, since, good in (
        (CONTRACTS, UNUSED, True),
        (CONTRACTS, CONTRACTS, False),
        (UNUSED, CONTRACTS, False),
        ("20260104T000000Z-fffffff", CONTRACTS, False),
    ):
        found = migrations.unready(release, {DROPS: Migration(contract=True, since=since), ADDS: EXPAND})
        assert (found == []) == good, (release, since)
        assert all(text.startswith(f"{DROPS}: CONTRACT_SINCE {since} ") for text in found)


def test_what_hosts_say_is_read_together() -> None:
    expand, contract = {"class": "expand", "since": ""}, {"class": "contract", "since": UNUSED}
    one = {BASE: {INITIAL: expand}}
    other = {BASE: {INITIAL: expand}, CONTRACTS: {INITIAL: expand, DROPS: contract}}
    assert migrations.known([one, other]) == {BASE: {INITIAL: EXPAND}, CONTRACTS: {INITIAL: EXPAND, DROPS: CONTRACT}}


def test_a_class_that_does_not_exist_is_no_expansion() -> None:
    with pytest.raises(ValueError, match="expand or contract"):
        Migration.of({"class": "harmless", "since": ""})


def test_of_many_migrations_a_report_tells_how_many_and_the_first_and_last() -> None:
    names = [f"shop.{number:04}_step" for number in range(1, 8)]
    assert migrations.told([]) == ""
    assert migrations.told(names[:6]) == ", ".join(names[:6])
    assert migrations.told(names) == "7, from shop.0001_step to shop.0007_step"
