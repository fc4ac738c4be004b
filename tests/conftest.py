"""What all tests share."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--env", default="", help="the environment of inventories/ that fleet and role tests run on")
    parser.addoption("--soak", action="store_true", help="run each case in its full count")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def] # a hook wrapper is a generator of pluggy's own type
    """A skipped test proves nothing and must not look as if it did."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and a skipped test proves nothing: {report.longrepr}"
