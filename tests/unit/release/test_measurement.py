"""Which of what clients got while a release was brought the release is to blame for."""

from __future__ import annotations

import pytest

from deploy.release import ledger
from deploy.release.probe import Measurement, Sample, measure

from .conftest import NEW, OLD

SWITCH, STOP = 10.0, 20.0  # samples below: the probe begins at 0
THIRD = "20251231T000000Z-0000003"


def sample(began: float, status: int = 200, release: str = OLD, seconds: float = 0.1) -> Sample:
    return Sample(began, began + seconds, status, release if status else "", "" if status else "ConnectError")


def seen(*samples: Sample, release: str = NEW) -> Measurement:
    return measure(samples, 0, STOP, release, SWITCH)


# What an answer after the switch counts, with a baseline that was clean and with one that was not: rule 10.
@pytest.mark.parametrize(
    ("status", "release", "after_clean", "after_broken"),
    [
        (200, NEW, 0, 0),
        (302, NEW, 0, 0),
        (500, NEW, 1, 1),
        (503, NEW, 1, 1),
        (400, NEW, 1, 1),  # dokku 2159, kamal 992: a release that refuses its own name
        (404, NEW, 1, 1),
        (500, OLD, 0, 0),
        (500, THIRD, 0, 0),
        (502, "", 1, 0),
        (0, "", 1, 0),
    ],
)
def test_a_failure_counts_by_its_id_or_against_a_clean_baseline(
    status: int, release: str, after_clean: int, after_broken: int
) -> None:
    after = sample(12, status, release)
    for before, counted in ((sample(5), after_clean), (sample(5, 502, ""), after_broken)):
        found = seen(before, after)
        assert found.counted == counted
        assert found.failures == (not after.good) + (not before.good)


@pytest.mark.parametrize("before", [[], [sample(5, 500, OLD)], [sample(5, 502, "")], [sample(5, 0)]])
def test_a_site_that_fails_every_request_can_be_fixed_and_rolled_back(before: list[Sample]) -> None:
    """The first deploy, the deploy of a fix, a rollback: what fails until the switch is done is not its fault."""
    during = [sample(10 + i / 10, *how) for i in range(20) for how in ((500, OLD), (502, ""), (0, ""))]
    found = seen(*before, *during, sample(15, 200, NEW))
    assert (found.counted, found.failures) == (0, len(before) + 60)


def test_a_fix_that_fails_itself_counts_all_the_same() -> None:
    found = seen(sample(5, 500, OLD), sample(12, 500, NEW))
    assert (found.counted, found.reason) == (1, "status 500")
    assert f"(1 of the new release: {found.reason})" in str(found)


def test_one_failure_before_the_switch_makes_the_baseline_unclean() -> None:
    good = [sample(i / 10) for i in range(50)]
    assert seen(*good, sample(12, 502, "")).counted == 1
    assert seen(*good, sample(6, 502, ""), sample(12, 502, "")).counted == 0


def test_where_nothing_was_known_before_nothing_was_good() -> None:
    assert seen(sample(12, 502, ""), sample(12, 0)).counted == 0
    assert seen(sample(12, 500, NEW)).counted == 1


def test_a_restart_brings_no_new_id_so_only_a_clean_baseline_lets_its_failures_count() -> None:
    broken = [sample(5, 500, NEW), sample(12, 500, NEW), sample(13, 502, "")]
    assert seen(*broken).counted == 0, "a restart with corrected settings must be able to end well"
    assert seen(sample(5, 200, NEW), *broken[1:]).counted == 2


def test_a_request_that_the_switch_interrupts_is_the_releases_fault() -> None:
    """Sent before, lost after: it must not count as a failure that was there already."""
    assert seen(sample(5), Sample(9.9, 10.1, error="ReadError")).counted == 1
    assert seen(sample(5), Sample(9.9, 10.1, 502)).counted == 1


def test_a_request_that_hung_long_before_the_switch_shows_that_the_site_was_broken() -> None:
    hung = Sample(8.0, 13.0, error="no answer within 5 s")
    assert seen(sample(5), hung, sample(12, 502, "")).counted == 0
    assert seen(sample(5), hung, sample(12, 502, "")).failures == 2
    slow = [sample(3, seconds=4), Sample(8.0, 13.0)]  # where answers take 4 s, one of 5 s is not overdue after 2
    assert seen(*slow, sample(12, 502, "")).counted == 2


def test_a_switch_that_was_never_begun_counts_nothing() -> None:
    found = measure([sample(1), sample(2, 0), sample(3, 500, NEW)], 0, 5)
    assert (found.requests, found.failures, found.counted, found.live_seconds) == (3, 2, 0, None)


def test_what_hangs_to_the_end_fails_and_what_was_just_sent_is_left_out() -> None:
    hanging, fresh = Sample(STOP - 1.5, None, error="no answer"), Sample(STOP - 0.5, None)
    found = seen(sample(5), hanging, fresh)
    assert (found.requests, found.failures, found.counted) == (2, 1, 1)
    assert seen(sample(5, seconds=1), hanging).failures == 0, "with answers that take a second 1.5 s are no failure"


def test_the_longest_gap_is_between_good_answers() -> None:
    good = [sample(i / 20, seconds=0.05) for i in range(400)]
    assert seen(*good).longest_gap_ms == 50
    assert seen(*(each for each in good if not 5 <= each.began < 7)).longest_gap_ms == 2050
    outage = [each if not 5 <= each.began < 7 else sample(each.began, 502, "") for each in good]
    assert seen(*outage).longest_gap_ms == 2050
    assert seen(*good[:100]).longest_gap_ms == pytest.approx(STOP * 1000 - 5000)
    assert seen(*good[100:]).longest_gap_ms == 5050
    assert seen().longest_gap_ms == STOP * 1000


def test_quantiles_are_those_of_good_answers() -> None:
    times = [sample(i / 10, seconds=(i + 1) / 1000) for i in range(100)]
    found = seen(*times, sample(15, 0, seconds=5))
    assert (found.p50_ms, found.p99_ms) == (50, 99)
    assert (seen(sample(1, 0)).p50_ms, seen(sample(1, 0)).p99_ms) == (None, None)


def test_a_release_is_live_when_no_other_answers_any_more() -> None:
    found = seen(sample(5), sample(10.5, release=NEW), sample(11, release=OLD), sample(12, release=NEW))
    assert found.live_seconds == pytest.approx(2.1)
    assert seen(sample(5), sample(11, release=NEW), sample(12)).live_seconds is None
    assert seen(sample(5)).live_seconds is None


def test_the_ledger_keeps_the_figures_and_people_read_one_line() -> None:
    found = seen(*(sample(i / 20, seconds=0.05) for i in range(400)), sample(12, 502, ""))
    assert found.as_json() == {
        "requests": 401, "failures": 1, "counted": 1, "p50_ms": 50.0, "p99_ms": 50.0, "longest_gap_ms": 50.0,
        "rate": 20.1,
    }  # fmt: skip
    assert "measured" in ledger.Entry.__dataclass_fields__
    assert str(found) == (
        "401 requests at 20/s, 1 failed (1 of the new release: status 502), p50 50 ms, p99 50 ms, longest gap 50 ms"
    )
    assert "p50" not in str(seen(sample(1, 0)))
