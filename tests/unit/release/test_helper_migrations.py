"""Migrations on a host: read from the database, applied once, tried again when a lock is in the way."""

from __future__ import annotations

import pytest

from .machine import NEW, Host, Release

# booking-manage: answers what is applied, and fails with a message as often as the file `left` says
MANAGE = """#!/bin/sh
echo "$@" >> {root}/manage.log
if [ "$3" = --database ]; then
    [ -e {root}/down ] && {{ echo "connection refused" >&2; exit 1; }}
    printf '{{"applied": %s, "connections": 3}}' "$(cat {root}/applied)"
    exit 0
fi
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
    (host.root / "bin/booking-manage").write_text(MANAGE.format(root=host.root))
    (host.root / "bin/booking-manage").chmod(0o755)
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
    assert database.call("database", NEW) == (0, {"applied": [], "connections": 3})


def test_a_lock_that_was_lost_while_waiting_ends_the_attempts(database: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (database.root / "left").write_text("99")
    migrations = database.modules["migrations"]

    def taken(_: float) -> None:
        database.call("lock", "--replace", str(database.token), '{"user": "later"}')

    monkeypatch.setattr(migrations.time, "sleep", taken)
    assert database.act("migrate", NEW)[0] == 13
    assert runs(database) == 1
