"""Whether a canary may go on: judged by figures alone."""

from __future__ import annotations

import pytest

from deploy.release.canary import MINIMUM, Outcome, Traffic, combined, judge, pace

OTHERS = Traffic(requests=1000, errors=10, p50_ms=20, p95_ms=80)  # 1 % fail


def first(requests: int = 1000, errors: int = 0, p95_ms: float = 80) -> Traffic:
    return Traffic(requests, errors, 20, p95_ms)


@pytest.mark.parametrize(
    ("errors", "outcome"), [(0, Outcome.GOOD), (10, Outcome.GOOD), (20, Outcome.GOOD), (21, Outcome.BAD)]
)
def test_the_budget_is_what_may_fail_beyond_the_others(errors: int, outcome: Outcome) -> None:
    assert judge(first(errors=errors), OTHERS, budget=0.01).outcome is outcome


def test_no_budget_means_no_worse_than_the_others() -> None:
    assert judge(first(errors=10), OTHERS, budget=0).outcome is Outcome.GOOD
    assert judge(first(errors=11), OTHERS, budget=0).outcome is Outcome.BAD


@pytest.mark.parametrize(("requests", "outcome"), [(MINIMUM - 1, Outcome.UNKNOWN), (MINIMUM, Outcome.GOOD)])
def test_too_few_requests_on_either_side_say_nothing(requests: int, outcome: Outcome) -> None:
    assert judge(first(requests), OTHERS, budget=0.01).outcome is outcome
    assert judge(first(), Traffic(requests, 0, 20, 80), budget=0.01).outcome is outcome


def test_nothing_at_all_says_nothing() -> None:
    verdict = judge(Traffic(0, 0, 0, 0), Traffic(0, 0, 0, 0), budget=0.01)
    assert verdict.outcome is Outcome.UNKNOWN
    assert "too few requests to judge by, 200 on each side" in verdict.why


def test_what_can_no_longer_come_good_is_bad_before_there_are_enough() -> None:
    assert judge(first(requests=20, errors=20), OTHERS, budget=0.01).outcome is Outcome.BAD
    assert judge(first(requests=20, errors=4), OTHERS, budget=0.01).outcome is Outcome.UNKNOWN, "2 % of 200 are 4"


@pytest.mark.parametrize(
    ("p95", "others", "outcome"),
    [
        (160, 80, Outcome.GOOD), (161, 80, Outcome.BAD),
        (20, 5, Outcome.GOOD), (55, 5, Outcome.GOOD), (56, 5, Outcome.BAD),
    ],
)  # fmt: skip
def test_slower_is_twice_the_others_and_more_than_a_trifle(p95: float, others: float, outcome: Outcome) -> None:
    assert pace(first(p95_ms=p95), Traffic(1000, 10, 20, others)).outcome is outcome


def test_the_figures_are_told() -> None:
    why = judge(first(errors=30), OTHERS, budget=0.01).why
    assert "more than 1.0% above the others" in why
    assert "30 of 1000 failed (p95 80 ms) on the first host, 10 of 1000 failed (p95 80 ms) on the others" in why


def test_several_hosts_are_one_and_those_without_traffic_weigh_nothing() -> None:
    both = combined([Traffic(300, 3, 10, 100), Traffic(100, 1, 50, 200), Traffic(0, 0, 0, 0)])
    assert both == Traffic(400, 4, 20, 125)
    assert combined([]) == Traffic(0, 0, 0, 0)
    assert combined([]).error_rate == 0
