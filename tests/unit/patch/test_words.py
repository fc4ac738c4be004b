"""`fab patch` as a person calls it, and what it prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from deploy.errors import LockedError
from deploy.patch import engine, show
from deploy.patch.engine import Patched
from deploy.patch.facts import Intent, Survey, Upgrade
from deploy.patch.roll import Done
from deploy.release.probe import Measurement
from tests.unit.command_line import fab

QUIET = Measurement(100, 0, 0, 10.0, 20.0, 80.0, 20.0)
LOUD = Measurement(100, 9, 0, 10.0, 20.0, 2300.0, 20.0)
DONE = [
    Done("web1", ["libc6", "curl"], "libc6 changed", [], 31.0, QUIET),
    Done("db1", ["postgresql-17"], "", ["postgresql@17-main.service"], 9.0, LOUD, ("the database, a single one",)),
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []

    def check(env: str, hosts: Sequence[str]) -> dict[str, Survey]:
        found.append(("check", env, hosts))
        return {}

    def patch(env: str, hosts: Sequence[str], **options: object) -> Patched:
        found.append((env, hosts, options))
        return Patched(DONE)

    monkeypatch.setattr(engine, "check", check)
    monkeypatch.setattr(engine, "patch", patch)
    return found


def test_the_line_is_what_the_engine_is_asked(asked: list[tuple[Any, ...]]) -> None:
    assert fab("patch", "--env", "live") == 0
    assert fab("patch", "--host", "web1", "--host", "web2", "--allow-outage", "--wait", "90s") == 0
    assert fab("patch", "--env", "live", "--host", "web1", "--check") == 0
    assert asked == [
        ("live", (), {"allow_outage": False, "wait": 0}),
        ("lab", ("web1", "web2"), {"allow_outage": True, "wait": 90}),
        ("check", "live", ("web1",)),
    ]


def test_failure_is_its_message_and_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def locked(*_: object, **__: object) -> None:
        raise LockedError("ada holds the lock", "web1", "wait")

    monkeypatch.setattr(engine, "patch", locked)
    assert fab("patch") == 13
    assert "web1: ada holds the lock" in capsys.readouterr().err


def test_summary_tells_of_each_host_what_was_done_and_what_clients_got() -> None:
    text = show.patched(Patched(DONE, ["web2"], 45.0))
    for part in (
        "web1, db1 upgraded", "2 packages in 31.0 s; rebooted: libc6 changed", "100 requests at 20/s, 0 failed",
        "restarted: postgresql@17-main.service", "the database, a single one: who asked again for 2.3 s was answered",
        "nothing to upgrade on web2",
    ):  # fmt: skip
        assert part in text
    assert text.count("asked again") == 1


def test_nothing_to_do_is_said() -> None:
    assert show.patched(Patched((), ["web1", "web2"])) == "nothing to upgrade on web1, web2"


def test_listing_tells_of_each_host_packages_holds_security_and_reboot() -> None:
    ups = (Upgrade("haproxy", "3.0.1", "3.0.2", security=True, held=True), Upgrade("new", "", "1"))
    said = Survey("lb1", "b", ups, reboot="asked for by libc6", stale=("cron.service",), age=7200, half=True,
                  intent=Intent((), "b"))  # fmt: skip
    text = show.check({"lb1": said, "web1": Survey("web1", "b", error="E: no lists")})
    assert text.splitlines() == [
        "lb1: 2 upgradeable, 1 security, 1 held; reboot pending: asked for by libc6; lists 2 h old",
        "  haproxy 3.0.1 -> 3.0.2 (security, held)",
        "  new new -> 1",
        "  to be restarted: cron.service",
        "  an upgrade was cut off half-way",
        "  a run of fab patch has begun here and has not ended",
        "web1: 0 upgradeable, 0 security, 0 held; reboot not pending; lists never fetched",
        "  apt-get: E: no lists",
    ]
