"""Pure: which releases can run on a database with certain migrations. Nothing here touches a host or a database.

A release can live with every migration that it knows, with every expansion, and with a contraction that declares
this release or an earlier one as the first that no longer uses what it takes away (docs/decisions/0012).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

GUIDE = "docs/runbooks/rollback-refused.md"
TOLD = 6  # as many names as a person reads
TIME = 16  # a release id begins with the commit's time, 20261120T101500Z


@dataclass(frozen=True)
class Migration:
    """What a migration does to releases that do not know it.

    since: of a contraction the id of the first release that no longer uses what it takes away; "" for an expansion.
    """

    contract: bool = False
    since: str = ""

    @classmethod
    def of(cls, told: Mapping[str, str]) -> Migration:
        """From a manifest's {"class": "expand" | "contract", "since": release id or ""}. ValueError: another class."""
        if told["class"] not in ("expand", "contract"):
            raise ValueError(f"a migration is expand or contract, not {told['class']!r}")
        return cls(told["class"] == "contract", told["since"])

    def allows(self, release: str) -> bool:
        """Whether a release that does not know this migration can run where it is applied."""
        return not self.contract or not later(self.since, release)


Known = Mapping[str, Mapping[str, Migration]]
"""Of each release (id) the migrations that it knows ("app.name")."""


def known(told: Iterable[Mapping[str, Mapping[str, Mapping[str, str]]]]) -> Known:
    """What the hosts' `status` answers say under "migrations", together: {release: {"app.name": {class, since}}}."""
    return {
        release: {name: Migration.of(one) for name, one in migrations.items()}
        for host in told
        for release, migrations in host.items()
    }


def later(one: str, other: str) -> bool:
    """Whether release `one` is not certainly the same as or older than `other`.

    Ids compare as text, for they begin with the commit's time; two commits of one second have no order.
    """
    return one != other and one[:TIME] >= other[:TIME]


def pending(migrations: Mapping[str, Migration], applied: Collection[str]) -> dict[str, Migration]:
    """What a release that knows `migrations` adds to a database that has `applied`, by name."""
    return {name: migrations[name] for name in sorted(set(migrations) - set(applied))}


def refusals(release: str, known_of_release: Collection[str], applied: Collection[str], table: Known) -> list[str]:
    """Why a release cannot run where `applied` is; empty when it can. One text for each migration in the way.

    table: what every release known anywhere says. Where they differ about a migration, the strictest counts.
    """
    found = []
    for name in sorted(set(applied) - set(known_of_release)):
        said = [migrations[name] for migrations in table.values() if name in migrations]
        refusing = [one.since for one in said if not one.allows(release)]
        if not said:
            found.append(f"{name} is applied, and no release that is kept here knows what it does: {GUIDE}")
        elif refusing:
            found.append(
                f"{name} has taken away what {release} uses; the first release that runs without it is {max(refusing)}"
            )
    return found


def contract_refusals(
    serving: Collection[str], pending: Mapping[str, Migration], table: Known | None = None
) -> list[str]:
    """Which contractions to come would break a release that serves now; empty when none would.

    table: what every release knows; one that knows a migration itself is not broken by it.
    """
    found = []
    for name, migration in sorted(pending.items()):
        broken = [
            release for release in sorted(serving)
            if not migration.allows(release) and name not in (table or {}).get(release, {})
        ]  # fmt: skip
        if broken:
            found.append(
                f"{name} takes away what {', '.join(broken)}, serving now, still uses;"
                f" deploy {migration.since}, or a later release, first"
            )
    return found


def unready(release: str, migrations: Mapping[str, Migration]) -> list[str]:
    """Contractions that name the very release they come with, or a later one: those before it would all break."""
    return [
        f"{name}: CONTRACT_SINCE {one.since} is not earlier than this release; stop using it in one release,"
        " contract in a later one"
        for name, one in sorted(migrations.items())
        if one.contract and (one.since == release or later(one.since, release))
    ]


def told(names: Sequence[str]) -> str:
    """Migrations in one line of a report: their names, of many how many and the first and last. Empty for none."""
    if len(names) <= TOLD:
        return ", ".join(names)
    return f"{len(names)}, from {names[0]} to {names[-1]}"
