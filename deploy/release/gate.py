"""What has to hold before a run may begin: everything that a deploy needs, and what the schema allows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from deploy.errors import PreflightError, RollbackRefusedError
from deploy.release import commands, migrations, preflight
from deploy.release.artefact import Artefact
from deploy.release.migrations import Migration
from deploy.release.preflight import Problem
from deploy.release.remote import HostError
from deploy.release.run import Run
from deploy.release.session import HostsError

MIGRATION_SECONDS = 10.0  # how long a run waits for a migration that another one left under way
POLL_SECONDS = 1.0


class UnaskedError(PreflightError):
    """Hosts could ask the database, and not one of them gets an answer."""


def complete(run: Run, built: Artefact) -> None:
    """PreflightError if a host or balancer does not answer: together with all that is wrong elsewhere. Before the
    lock is taken, so that nobody who could go on has to wait for it."""
    if run.missing():
        if run.session.hosts:
            run.read()
        raise preflight.refusal(problems(run, built, None))


def examine(run: Run, built: Artefact) -> bool:
    """Whether the release brings migrations. PreflightError: all that does not hold."""
    with run.report.step("preflight"):
        said = database(run)
        if found := problems(run, built, said):
            raise preflight.refusal(found)
    return bool(preflight.to_apply(built.manifest["migrations"], said))


def problems(run: Run, built: Artefact, said: Mapping[str, Any] | None) -> list[Problem]:
    """Every condition of a deploy that does not hold. said: the database's answer; None: it was not asked."""
    found = run.missing()
    if run.session.hosts:
        found += preflight.check(run.session, run.balancers, run.settings, run.fleet, built, run.states, said, run.say)
    if said is None:
        return found
    own = {name: Migration.of(told) for name, told in built.manifest["migrations"].items()}
    table = {**run.known, built.release: own}
    serving = {state.current for state in run.states if state.current}
    refused = [
        *migrations.refusals(built.release, own, said["applied"], table),
        *migrations.contract_refusals(serving, migrations.pending(own, said["applied"]), table),
    ]
    return found + [Problem(why, "migrations", "fab releases shows what each release migrated") for why in refused]


def allow(run: Run, release: str) -> bool:
    """Whether the database could be asked. RollbackRefusedError: it has lost what a release needs.

    One that cannot be asked, as when the release that serves has taken every connection, keeps nobody from going
    back: it counts as one that has every migration that any release here knows.
    """
    asked, applied = True, list[str]()
    with run.report.step("look at the schema"):
        try:
            applied = database(run)["applied"]
        except UnaskedError:
            asked, applied = False, [name for each in run.known.values() for name in each]
            run.say("the database cannot be asked: it is taken as if every known migration were applied")
    if refused := migrations.refusals(release, run.known.get(release, {}), applied, run.known):
        state = "present database" if asked else "database, which cannot be asked, if every migration is applied"
        raise RollbackRefusedError(
            "\n  ".join([f"it cannot run on the {state}:", *refused]), f"release {release}",
            f"a fix goes out by fab deploy; {migrations.GUIDE} says what else can be done",
        )  # fmt: skip
    return asked


def database(run: Run) -> Mapping[str, Any]:
    """What the database says, asked through the first web host that can.

    UnaskedError: not one gets an answer. PreflightError: a migration that another run left, as when it was
    interrupted, is still under way: what it will have done is not known yet. LostLockError.
    """
    until = time.monotonic() + MIGRATION_SECONDS
    while True:
        said = run.database = run.database or _ask(run)
        if not said.get("migrating"):
            return said
        if time.monotonic() >= until:
            raise PreflightError(
                "a migration is under way on the database; nothing was changed", f"environment {run.settings.env}",
                "wait until it has ended (journalctl on the first web host shows it), then run this again",
            )  # fmt: skip
        if run.session.lease.lost.wait(POLL_SECONDS):
            run.session.lease.check()
        run.database = None


def _ask(run: Run) -> dict[str, Any]:
    failures = []
    for state in run.states:
        if state.web:
            try:
                return run.session.remotes[state.name].call(commands.database())
            except HostError as failed:
                failures.append(failed)
    raise UnaskedError(f"the database cannot be asked, nothing was changed:\n{HostsError(failures).text()}")
