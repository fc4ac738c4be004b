"""What the database says of itself."""

import json
from typing import Any

from . import psql
from .layout import Layout

LONG_SECONDS = 5  # a transaction that is open for longer is told
# The advisory lock that `migrate` holds (files/exclusively); what another role's sessions do is hidden, not their
# number. A lock's 64 bits are told as two halves; objsubid 1: it was taken as one number.
KEY = int.from_bytes(b"booking")
QUESTION = rf"""
SELECT to_regclass('django_migrations') IS NOT NULL AS migrated \gset
\if :migrated
SELECT coalesce(json_agg(app || '.' || name ORDER BY app, name), '[]') AS applied FROM django_migrations \gset
\else
\set applied '[]'
\endif
SELECT json_build_object(
    'applied', :'applied'::json,
    'max_connections', current_setting('max_connections')::int,
    'reserved', current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0),
    'connections', (
        SELECT count(*) FROM pg_stat_activity
        WHERE datid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'),
    'long', (
        SELECT coalesce(json_agg(json_build_object(
            'pid', pid, 'seconds', round(extract(epoch FROM now() - xact_start), 1), 'user', usename, 'state', state
        ) ORDER BY xact_start), '[]')
        FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
            AND xact_start < now() - make_interval(secs => {LONG_SECONDS})),
    'migrating', EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) + objid::bigint = {KEY} AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())));
"""  # noqa: S608 # two numbers of this module


def ask(layout: Layout) -> dict[str, Any]:
    """HelperError if it does not answer. In one question:

    {applied: ["app.name"] ([] before the first migration), max_connections, reserved (for administrators),
    connections (of now), long: [{pid, seconds, user, state}] (transactions open for longer than 5 s),
    migrating: whether a migration is under way, whoever started it}
    """
    answer: dict[str, Any] = json.loads(psql.run(layout, QUESTION, application="booking release"))
    return answer
