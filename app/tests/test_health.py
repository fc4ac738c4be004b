"""/healthz and /readyz: what turns red, what only degrades, and how soon."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection
from pytest_django import DjangoAssertNumQueries, Settings

from booking.core import health
from tests.helpers import RELEASE, client_of
from tests.postgres import Cluster


def ready() -> tuple[int, dict[str, Any]]:
    """The status and the body of /readyz."""
    answer = client_of().get("/readyz")
    assert answer.headers["X-Release-Id"] == answer.json()["release"] == RELEASE
    return answer.status_code, answer.json()


@pytest.fixture
def redis_is_up(settings: Settings) -> Iterator[None]:
    """A cache that answers; a real Redis is part of the fleet's tests."""
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    yield
    caches.close_all()


def test_healthz_names_the_release_and_asks_no_database() -> None:
    # No database is allowed in this test: pytest-django refuses one that is not asked for.
    answer = client_of().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "release": RELEASE})


@pytest.mark.usefixtures("db", "redis_is_up")
def test_all_well_is_ready_by_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(1):
        code, body = ready()
    assert (code, body["status"]) == (200, "ready")
    assert body["checks"] == {
        "database": {"status": "ok"},
        "migrations": {"status": "ok", "missing": []},
        "redis": {"status": "ok"},
    }


@pytest.mark.usefixtures("db")
def test_redis_down_is_degraded_and_never_red() -> None:
    code, body = ready()
    assert (code, body["status"], body["checks"]["redis"]) == (200, "degraded", {"status": "unreachable"})


@pytest.mark.usefixtures("db")
def test_a_redis_that_never_answers_costs_at_most_a_second(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        location = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": location}}
        started = time.monotonic()
        code, body = ready()
    assert (code, body["status"]) == (200, "degraded")
    assert time.monotonic() - started < 1.5


@pytest.mark.usefixtures("db", "redis_is_up")
def test_a_migration_that_this_release_needs_and_the_database_lacks_is_red() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'bookings' AND name = '0001_initial'")
    code, body = ready()
    assert (code, body["status"]) == (503, "unready")
    assert body["checks"]["migrations"] == {"status": "missing", "missing": ["bookings.0001_initial"]}


@pytest.mark.usefixtures("db", "redis_is_up")
def test_a_newer_migration_that_this_release_does_not_know_is_fine() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('bookings', '0999_new', now())"
        )
        cursor.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('later', '0001_initial', now())"
        )
    assert ready()[0] == 200


@pytest.mark.usefixtures("db", "redis_is_up")
def test_a_database_that_was_never_migrated_is_red_and_names_what_it_lacks() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO elsewhere")
    code, body = ready()
    assert code == 503
    assert body["checks"]["database"] == {"status": "ok"}
    assert "accounts.0001_initial" in body["checks"]["migrations"]["missing"]


def test_a_squashed_migration_is_there_when_all_that_it_replaces_are(monkeypatch: pytest.MonkeyPatch) -> None:
    old = [("bookings", "0001_initial"), ("bookings", "0002_more")]
    monkeypatch.setattr(health, "needed_migrations", lambda: {("bookings", "0001_squashed"): old})
    assert health.missing_migrations(set(old)) == []
    assert health.missing_migrations({("bookings", "0001_squashed")}) == []
    assert health.missing_migrations({old[0]}) == ["bookings.0001_squashed"]


@pytest.mark.usefixtures("redis_is_up")
@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_is_red_within_three_seconds(cluster: Cluster) -> None:
    assert cluster.server
    connection.close()
    os.kill(cluster.server.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        code, _ = ready()
        elapsed = time.monotonic() - started
    finally:
        os.kill(cluster.server.pid, signal.SIGCONT)
    assert code == 503
    assert elapsed < 3.5
    assert ready()[0] == 200


@pytest.mark.usefixtures("db")
def test_a_change_of_health_is_logged_once_not_at_every_question(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        ready()
    assert [record.getMessage() for record in caplog.records] == ["redis is unreachable"]


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_with_an_allowed_host_is_answered_and_another_is_400(path: str) -> None:
    assert client_of().get(path).status_code == 200
    refused = client_of().get(path, HTTP_HOST="10.0.0.7")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")
    assert refused.headers["X-Release-Id"] == RELEASE
