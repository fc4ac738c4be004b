"""deploy.tasks.words: durations, shares and counts as people write them."""

from __future__ import annotations

import pytest

from deploy.errors import Exit, UsageError
from deploy.tasks import words


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h", 3600), ("0.5h", 1800), ("90", 90), ("0", 0), (" 2m ", 120)]
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert words.seconds(text, "--canary") == seconds


@pytest.mark.parametrize("text", ["", "5 m", "5d", "m", "-5m", "5m30s", "1,5h", "nan", "5M"])
def test_what_is_no_duration_is_answered_with_how_one_is_written(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration") as caught:
        words.seconds(text, "--canary")
    assert (caught.value.where, caught.value.code) == ("--canary", Exit.USAGE)
    assert "--canary 5m" in caught.value.mend


def test_waiting_is_not_at_all_or_ten_minutes_or_as_long_as_is_said() -> None:
    assert words.wait("") == words.wait(False) == 0
    assert words.wait(True) == 600, "a bare --wait"
    assert words.wait("90s") == 90


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5%", 0.005), ("100%", 1.0), ("0%", 0.0)])
def test_a_share_is_a_percentage(text: str, share: float) -> None:
    assert words.share(text, "--budget") == pytest.approx(share)


@pytest.mark.parametrize("text", ["1", "0.01", "101%", "-1%", "%", "one%"])
def test_a_bare_number_is_no_share_because_it_could_mean_two_things(text: str) -> None:
    with pytest.raises(UsageError, match="is not a percentage"):
        words.share(text, "--budget")


def test_lines_are_counted_from_one() -> None:
    assert words.lines("200") == 200
    for text in ("0", "-1", "many", ""):
        with pytest.raises(UsageError, match="number of lines"):
            words.lines(text)
