"""Health: /healthz says that the process answers, /readyz that this release can serve."""

import logging
from functools import cache

from django.conf import settings
from django.core.cache import cache as redis_cache
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from booking.core.cache import REDIS

logger = logging.getLogger("booking.health")

Migration = tuple[str, str]  # (app label, name)
UNDEFINED_TABLE = "42P01"


@cache
def needed_migrations() -> dict[Migration, list[Migration]]:
    """The migrations on disk, each with those that it replaces; read once, no database is asked."""
    disk = MigrationLoader(None).disk_migrations
    replaced = {old for migration in disk.values() for old in migration.replaces}
    return {key: list(migration.replaces) for key, migration in disk.items() if key not in replaced}


def missing_migrations(applied: set[Migration]) -> list[str]:
    """What this release needs and the database lacks, as "app.name"; unknown newer ones do not matter."""
    return sorted(
        f"{app}.{name}"
        for (app, name), replaces in needed_migrations().items()
        if (app, name) not in applied and not (replaces and applied.issuperset(replaces))
    )


# Balancers ask several times a second: what they are told is logged when it changes, once a process.
told: dict[str, str] = {}


def tell(*, part: str, status: str, error: Exception | None = None) -> str:
    """Logs a change of `status` and gives it back."""
    if told.get(part, "ok") != status:
        level = logging.INFO if error is None else logging.ERROR
        logger.log(level, "%s is %s", part, status, extra={"error": str(error or "").strip()})
    told[part] = status
    return status


def check_database() -> tuple[str, list[str]]:
    """("ok" | "unreachable", missing migrations), by one query."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            applied = {(app, name) for app, name in cursor.fetchall()}
    except (DatabaseError, InterfaceError) as error:
        if getattr(error.__cause__, "sqlstate", None) == UNDEFINED_TABLE:
            return tell(part="database", status="ok"), missing_migrations(set())
        return tell(part="database", status="unreachable", error=error), []
    return tell(part="database", status="ok"), missing_migrations(applied)


def check_redis() -> str:
    """ "ok" or "unreachable": what is true of this process, whose breaker may be about to try again."""
    redis_cache.get("readyz")  # tolerant: what it met is the breaker's to tell
    return tell(part="redis", status="unreachable" if REDIS.failure else "ok", error=REDIS.failure)


class Probe(APIView):
    """A view for machines: no user, no permission."""

    authentication_classes = ()
    permission_classes = ()


class Healthz(Probe):
    """Alive; touches nothing but the process."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """200 {"status", "release"}."""
        return Response({"status": "ok", "release": settings.RELEASE_ID})


class Readyz(Probe):
    """Ready; red only where this release cannot serve: no database, or a migration it needs is missing."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        """200 or 503 {"status": "ready" | "degraded" | "unready", "release", "checks"}."""
        database, missing = check_database()
        redis = check_redis()
        unready = database != "ok" or bool(missing)
        state = "unready" if unready else "ready" if redis == "ok" else "degraded"
        migrations = {
            "status": "unknown" if database != "ok" else "missing" if missing else "ok",
            "missing": missing,
        }
        checks = {"database": {"status": database}, "migrations": migrations, "redis": {"status": redis}}
        body = {"status": state, "release": settings.RELEASE_ID, "checks": checks}
        return Response(body, status=503 if unready else 200)
