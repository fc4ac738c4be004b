"""Where the lock is: a table of the application's database, in a schema of its own, a row a job.

Who takes a job for a time at which it is due writes so into its row, by one statement that does nothing where
another was first, or is still at it. It holds the job until it says that it has ended, or until its lease is over,
which is when it would have been ended by force: after a host that died in between, the next time is another's.
"""

import json
from dataclasses import dataclass
from typing import Any

from booking_release import psql
from booking_release.layout import HelperError, Layout

from .jobs import CronError

APPLICATION = "cron-once"
KEY = int.from_bytes(b"cron")  # the advisory lock under which the table is made: IF NOT EXISTS alone is no lock
MOMENT = rf"""
SELECT to_regclass('cron.run') IS NULL AS missing \gset
\if :missing
BEGIN;
SELECT pg_advisory_xact_lock({KEY}) AS held \gset
SET LOCAL client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS cron;
CREATE TABLE IF NOT EXISTS cron.run (
    name text PRIMARY KEY,
    slot timestamptz NOT NULL,
    host text NOT NULL,
    started timestamptz NOT NULL,
    until timestamptz NOT NULL,
    ended timestamptz,
    ok boolean
);
COMMIT;
\endif
SELECT extract(epoch FROM clock_timestamp());
"""  # noqa: S608 # a number of this module
# Who was first at a time is not the first at a later one too, while it is still at work; a claim that lies in the
# future is of a clock that was set back since, and nobody's.
CLAIM = """
INSERT INTO cron.run AS held (name, slot, host, started, until)
VALUES (:'name', to_timestamp(:slot), :'host', now(), now() + make_interval(secs => :lease))
ON CONFLICT (name) DO UPDATE
SET slot = excluded.slot, host = excluded.host, started = excluded.started, until = excluded.until,
    ended = NULL, ok = NULL
WHERE held.started > excluded.started + interval '1 minute'
   OR held.slot < excluded.slot AND (held.ended IS NOT NULL OR held.until < excluded.started)
RETURNING 'taken';
"""
END = """
UPDATE cron.run SET ended = now(), ok = :'ok'::boolean
WHERE name = :'name' AND slot = to_timestamp(:slot) AND host = :'host';
"""
LAST = """
SELECT coalesce(json_object_agg(name, json_build_object(
    'slot', slot, 'host', host, 'started', started, 'until', until, 'ended', ended, 'ok', ok)), '{}')
FROM cron.run;
"""


@dataclass(frozen=True)
class Claim:
    """A job, taken for one time at which it is due. slot: that time (seconds since 1970). host: whose it is."""

    name: str
    slot: int
    host: str

    @property
    def values(self) -> dict[str, str]:
        """The claim as values of a statement."""
        return {"name": self.name, "slot": str(self.slot), "host": self.host}


class Claims:
    """The jobs' claims in the database that the application's settings name."""

    def __init__(self, layout: Layout | None = None) -> None:
        self._layout = layout or Layout()

    def moment(self) -> float:
        """What time it is for the whole fleet (seconds since 1970): the database's. Makes the table if need be."""
        return float(self._ask(MOMENT, {}))

    def take(self, claim: Claim, lease_seconds: int) -> bool:
        """Whether the claim is taken; it holds for the lease, or until `end`."""
        return bool(self._ask(CLAIM, claim.values | {"lease": str(lease_seconds)}).strip())

    def end(self, claim: Claim, *, ok: bool) -> None:
        """Say that what was claimed has ended, and how."""
        self._ask(END, claim.values | {"ok": str(ok).lower()})

    def last(self) -> dict[str, dict[str, Any]]:
        """The last claim of each job by its name: {slot, host, started, until, ended, ok}, times as ISO 8601."""
        self.moment()
        found: dict[str, dict[str, Any]] = json.loads(self._ask(LAST, {}))
        return found

    def _ask(self, statements: str, values: dict[str, str]) -> str:
        try:
            return psql.run(self._layout, statements, application=APPLICATION, values=values)
        except HelperError as error:
            raise CronError(": ".join([error.what, *(line.strip() for line in error.journal[:1])])) from None
