"""What people write on a command line, as numbers."""

from __future__ import annotations

import re

from deploy.errors import UsageError

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh]?)")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)%")
WAIT_SECONDS = 600.0  # of --wait without a duration


def seconds(text: str, option: str) -> float:
    """A duration such as 90s, 5m or 1h; a bare number is seconds. UsageError: it is none."""
    if found := _DURATION.fullmatch(text.strip()):
        return float(found[1]) * _UNITS[found[2]]
    raise UsageError(f"{text!r} is not a duration", option, f"write it as in: {option} 90s, {option} 5m, {option} 1h")


def wait(given: str | bool) -> float:
    """How long to wait for a lock (seconds): not at all unless given, ten minutes unless a duration is."""
    return WAIT_SECONDS * given if isinstance(given, bool) else seconds(given or "0", "--wait")


def share(text: str, option: str) -> float:
    """A share such as 1% or 0.5%, as a number from 0 to 1. UsageError: it is none."""
    if (found := _SHARE.fullmatch(text.strip())) and float(found[1]) <= 100:
        return float(found[1]) / 100
    raise UsageError(f"{text!r} is not a percentage", option, f"write it as in: {option} 1%, {option} 0.5%")


def lines(text: str | int, option: str = "--lines") -> int:
    """A count of lines, from 1 on. UsageError: it is none."""
    if str(text).isdecimal() and int(text):
        return int(text)
    raise UsageError(f"{text!r} is not a number of lines", option, f"write it as in: {option} 200")
