"""The lock of the scheduled jobs: at each time that one is due, one host takes it, and nobody while it is at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

HOSTS = 20
NAME = "expire-holds"


@pytest.fixture
def claim(claims: Any) -> Callable[..., Any]:
    """A claim of `NAME`; slots are minutes from now."""
    from cron_once.claims import Claim

    minute = int(time.time()) // 60 * 60
    return lambda slot=0, host="web1", name=NAME: Claim(name, minute + 60 * slot, host)


def race(claims: Any, claim: Callable[..., Any], slot: int) -> list[str]:
    """Which of 20 hosts that claim at once have taken a slot."""
    names = [f"web{number}" for number in range(HOSTS)]
    with ThreadPoolExecutor(max_workers=HOSTS) as pool:
        taken = list(pool.map(lambda host: claims.take(claim(slot, host), 60), names))
    return [name for name, won in zip(names, taken, strict=True) if won]


def test_of_twenty_hosts_exactly_one_takes_each_time(claims: Any, claim: Callable[..., Any]) -> None:
    claims.moment()
    for slot in (-2, -1, 0):
        (winner,) = race(claims, claim, slot)
        claims.end(claim(slot, winner), ok=True)
        assert claims.last()[NAME]["host"] == winner


@pytest.mark.parametrize("ended", [False, True])
def test_without_the_conditions_more_than_one_would(
    claims: Any, claim: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    """The control of the test above: each condition taken away, the first one while the job still runs."""
    from cron_once import claims as module

    spoilt = {
        False: module.CLAIM.replace("held.slot < excluded.slot AND (held.ended IS NOT NULL OR held.until < excluded"
                                    ".started)", "true"),
        True: module.CLAIM.replace("held.slot < excluded.slot AND ", ""),
    }[ended]  # fmt: skip
    assert spoilt != module.CLAIM
    monkeypatch.setattr(module, "CLAIM", spoilt)
    claims.moment()
    if not ended:
        assert len(race(claims, claim, 0)) > 1
        return
    assert claims.take(claim(), 60)
    claims.end(claim(), ok=True)
    assert claims.take(claim(host="web2"), 60), "a job that has ended could be run again for the same time"


def test_the_table_is_made_once_whoever_is_first(claims: Any, sql: Callable[[str], str]) -> None:
    with ThreadPoolExecutor(max_workers=HOSTS) as pool:
        moments = list(pool.map(lambda _: claims.moment(), range(HOSTS)))
    assert max(abs(moment - time.time()) for moment in moments) < 60
    assert sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'cron'") == "1"


def test_a_run_that_outlasts_its_time_is_not_overlapped(claims: Any, claim: Callable[..., Any]) -> None:
    claims.moment()
    assert claims.take(claim(), 60)
    assert not claims.take(claim(1, "web2"), 60)
    claims.end(claim(), ok=True)
    assert claims.take(claim(1, "web2"), 60)


def test_after_a_host_that_died_in_mid_run_the_next_time_is_anothers(claims: Any, claim: Callable[..., Any]) -> None:
    claims.moment()
    assert claims.take(claim(), 1)
    assert not claims.take(claim(1, "web2"), 60), "its lease is not over"
    time.sleep(1.2)
    assert claims.take(claim(1, "web2"), 60)
    claims.end(claim(), ok=True)
    last = claims.last()[NAME]
    assert (last["host"], last["ended"]) == ("web2", None), "who died and comes back ends nothing of another's"


def test_a_time_that_was_claimed_is_gone_and_jobs_do_not_hinder_one_another(
    claims: Any, claim: Callable[..., Any]
) -> None:
    claims.moment()
    for name in (NAME, "sweep-outbox"):
        assert claims.take(claim(name=name), 60)
        claims.end(claim(name=name), ok=name == NAME)
        assert not claims.take(claim(0, "web2", name), 60)
        assert not claims.take(claim(-1, "web2", name), 60), "nor is an earlier one, of a host that is late"
    assert {name: last["ok"] for name, last in claims.last().items()} == {NAME: True, "sweep-outbox": False}


def test_a_claim_of_a_clock_that_was_set_back_since_holds_nobody_up(
    claims: Any, claim: Callable[..., Any], sql: Callable[[str], str]
) -> None:
    claims.moment()
    assert claims.take(claim(), 60)
    sql("UPDATE cron.run SET slot = slot + interval '1 year', started = started + interval '1 year', "
        "until = until + interval '1 year'")  # fmt: skip
    assert claims.take(claim(1, "web2"), 60)
    assert not claims.take(claim(1), 60)


def test_a_database_that_cannot_be_reached_is_told_on_one_line(claims: Any, root: Any) -> None:
    path = root / "etc/booking/environment"
    path.write_text(path.read_text().replace("BOOKING_DATABASE_HOST=", "BOOKING_DATABASE_HOST=/nowhere"))
    from cron_once.jobs import CronError

    with pytest.raises(CronError, match=r"the database could not be asked: .*/nowhere") as raised:
        claims.moment()
    assert "\n" not in str(raised.value)
