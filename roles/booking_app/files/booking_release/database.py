"""What the database says of itself. Asked by psql, with the application's settings and as its user: Python's driver
takes ten times as long to start, and needs a release; so does Debian's wrapper of psql, in Perl."""

import json
import os
import subprocess
from typing import Any

from .layout import HelperError, Layout

PSQL = "usr/lib/postgresql/*/bin/psql"
ANSWER_SECONDS = 5
MOST_SECONDS = 15  # also of one that takes a connection and then says nothing
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
    if not (programs := sorted(layout.root.glob(PSQL))):
        raise HelperError(f"there is no {layout.root / PSQL}: converge this host")
    command = [
        "setpriv", "--reuid=booking", "--regid=booking", "--clear-groups", "--no-new-privs",
        str(programs[-1]), "--no-psqlrc", "--no-password", "--tuples-only", "--no-align", "--quiet",
        "--set=ON_ERROR_STOP=1",
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, input=QUESTION, env=environment(layout), cwd="/", capture_output=True, text=True, check=False,
            timeout=MOST_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise HelperError(f"the database has not answered for {MOST_SECONDS} s") from None
    if done.returncode:
        raise HelperError("the database could not be asked", journal=tail(done.stderr))
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def environment(layout: Layout) -> dict[str, str]:
    """What libpq reads: where the database is, and the password; nobody but root and the application can see it."""
    try:
        lines = layout.environment.read_text().splitlines()
        password = (layout.credentials / "database_password").read_text().rstrip("\r\n")
    except FileNotFoundError as error:
        raise HelperError(f"{error.filename} is missing: converge this host") from None
    told = {key: value for key, found, value in (line.partition("=") for line in lines) if found}
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGDATABASE": "NAME", "PGUSER": "USER",
             "PGSSLMODE": "SSLMODE", "PGSSLROOTCERT": "SSLROOTCERT"}  # fmt: skip
    try:
        places = {name: told[f"BOOKING_DATABASE_{key}"] for name, key in names.items()}
    except KeyError as error:
        raise HelperError(f"{layout.environment} lacks {error.args[0]}: converge this host again") from None
    return places | {
        "PATH": os.environ["PATH"], "PGPASSWORD": password, "PGAPPNAME": "booking release",
        "PGCONNECT_TIMEOUT": str(ANSWER_SECONDS), "PGOPTIONS": f"-c statement_timeout={ANSWER_SECONDS}s",
    }  # fmt: skip


def tail(text: str) -> tuple[str, ...]:
    """The last lines of a program's output."""
    return tuple(text.splitlines()[-20:])
