"""Migrations on a host: read from the database, applied once, tried again when a lock is in the way."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from .machine import NEW, Host, Release

# psql: answers what is applied
PSQL = """#!/bin/sh
printf '%s\\n' "$@" > {root}/asked
env | grep ^PG | sort > {root}/environment
cat > {root}/question
[ -e {root}/down ] && {{ echo "connection refused" >&2; exit 2; }}
printf '{{"applied": %s, "connections": 3}}' "$(cat {root}/applied)"
"""
# booking-manage: fails with a message as often as the file `left` says
MANAGE = """#!/bin/sh
echo "$@" >> {root}/manage.log
left=$(cat {root}/left)
[ "$left" = 0 ] && exit 0
echo $((left - 1)) > {root}/left
cat {root}/message
exit 1
"""


@pytest.fixture
def database(host: Host, new: Release, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host that holds the new release, and a database without its migration."""
    new.stage(host)
    for name, text in {"applied": "[]", "left": "0", "message": "canceling statement due to lock timeout"}.items():
        (host.root / name).write_text(text)
    (host.root / "manage.log").touch()
    for path, text in {"bin/booking-manage": MANAGE, "usr/lib/postgresql/17/bin/psql": PSQL}.items():
        (host.root / path).write_text(text.format(root=host.root))
        (host.root / path).chmod(0o755)
    monkeypatch.setattr(host.modules["migrations"], "PAUSE_SECONDS", 0)
    monkeypatch.setattr(host.modules["migrations"], "PATIENCE_SECONDS", 0.2)
    return host


def runs(host: Host) -> int:
    """How often `migrate` was run."""
    return (host.root / "manage.log").read_text().count("migrate --noinput")


def test_what_the_database_lacks_is_applied_once(database: Host) -> None:
    assert database.act("migrate", NEW) == (0, {"migrated": ["shop.0001_initial"]})
    assert runs(database) == 1


def test_nothing_is_run_when_nothing_is_new(database: Host) -> None:
    (database.root / "applied").write_text('["shop.0001_initial", "shop.0002_of_a_later_release"]')
    assert database.act("migrate", NEW) == (0, {"migrated": []})
    assert runs(database) == 0


def test_a_lock_in_the_way_is_tried_again(database: Host) -> None:
    (database.root / "left").write_text("3")
    database.modules["migrations"].PATIENCE_SECONDS = 30
    assert database.act("migrate", NEW)[0] == 0
    assert runs(database) == 4


def test_a_lock_that_stays_fails_in_the_end(database: Host) -> None:
    (database.root / "left").write_text("99")
    code, answer = database.act("migrate", NEW)
    assert code == 1
    assert answer["error"]["journal"] == ["canceling statement due to lock timeout"]
    assert runs(database) > 1


def test_any_other_failure_is_not_tried_again(database: Host) -> None:
    (database.root / "left").write_text("99")
    (database.root / "message").write_text("column does not exist")
    code, answer = database.act("migrate", NEW)
    assert code == 1
    assert "shop.0001_initial" in answer["error"]["what"]
    assert runs(database) == 1


def test_a_database_that_does_not_answer_is_told(database: Host) -> None:
    (database.root / "down").touch()
    code, answer = database.act("migrate", NEW)
    assert code == 1
    assert answer["error"]["journal"] == ["connection refused"]


def test_a_release_that_is_not_here_cannot_be_migrated_to(host: Host) -> None:
    code, answer = host.act("migrate", NEW)
    assert code == 1
    assert "not on this host" in answer["error"]["what"]


def test_what_the_database_says_of_itself_is_passed_on(database: Host) -> None:
    assert database.call("database") == (0, {"applied": [], "connections": 3})


def test_the_database_is_asked_as_the_application_with_its_settings(database: Host) -> None:
    database.call("database")
    told = dict(line.split("=", 1) for line in (database.root / "environment").read_text().splitlines())
    assert told | {"PGHOST": "the-host", "PGSSLMODE": "the-sslmode", "PGPASSWORD": "p4ss"} == told
    assert "p4ss" not in (database.root / "asked").read_text(), "everybody sees a program's arguments"


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("usr/lib/postgresql/17/bin/psql", "there is no"), ("etc/booking/environment", "is missing"),
        ("etc/booking/credentials/database_password", "is missing"),
    ],
)  # fmt: skip
def test_a_host_that_cannot_ask_the_database_says_what_it_lacks(database: Host, missing: str, said: str) -> None:
    (database.root / missing).unlink()
    code, answer = database.call("database")
    assert code == 1
    assert missing.rpartition("/")[2] in answer["error"]["what"]
    assert said in answer["error"]["what"]
    assert "converge this host" in answer["error"]["what"]


def test_settings_without_a_database_are_told(database: Host) -> None:
    (database.root / "etc/booking/environment").write_text("BOOKING_DATABASE_HOST=x\n")
    assert "lacks BOOKING_DATABASE_PORT" in database.call("database")[1]["error"]["what"]


def test_a_lock_that_was_lost_while_waiting_ends_the_attempts(database: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (database.root / "left").write_text("99")
    migrations = database.modules["migrations"]

    def taken(_: float) -> None:
        database.call("lock", "--replace", str(database.token), '{"user": "later"}')

    # of this module alone: who waits for a process sleeps as well
    monkeypatch.setattr(migrations, "time", SimpleNamespace(monotonic=time.monotonic, sleep=taken))
    assert database.act("migrate", NEW)[0] == 13
    assert runs(database) == 1
