"""One run of the engine, step by step; whatever goes wrong, the hosts come first, then the right error."""

from __future__ import annotations

import contextlib
import getpass
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from deploy.errors import LostLockError, NeedsPersonError
from deploy.release import commands, failure, interruption, ledger, lock, recovery
from deploy.release.artefact import Artefact
from deploy.release.ledger import Entry
from deploy.release.plan import Action, Step
from deploy.release.probe import Probe
from deploy.release.rollout import Rollout
from deploy.release.run import Run, Summary
from deploy.release.session import HostsError
from deploy.release.state import HostState, homes
from deploy.release.trial import Trial
from deploy.release.verify import VerifyError, tag

# from Ctrl-C to the end of the command are seven seconds at most: what is left is for the ledger and the lock
INTERRUPTED_SECONDS = 4.0


def nothing(run: Run, action: str, release: str) -> Summary:
    """The summary of a run whose release every host serves already. NeedsPersonError: clients do not get it."""
    asked = {state.name: tag(state.name) for state in run.states if state.asked}
    try:
        run.balancers.shows(release, asked, everywhere=True)
    except VerifyError as error:
        raise unseen(run, release, str(error)) from None
    if any(state.stale for state in run.states):
        run.say(f"settings or secrets have changed since it was started: fab restart --env {run.settings.env}")
    return Summary(
        action, release, [state.name for state in run.states],
        {state.name: state.current for state in run.states}, seconds=dict(run.report.seconds),
        total=run.report.total(), notes=run.notes, changed=False,
    )  # fmt: skip


def unseen(run: Run, release: str, why: str) -> NeedsPersonError:
    """The error of a release that every host serves, and clients do not get."""
    return NeedsPersonError(
        f"every host serves it, and clients do not get it: {why}", f"release {release}",
        f"fab status --env {run.settings.env}; then mend the balancer, or the web server of the host named",
    )  # fmt: skip


def carry_out(
    run: Run,
    action: str,
    release: str,
    steps: Sequence[Step],
    *,
    states: Sequence[HostState] | None = None,
    artefacts: Mapping[str, Artefact] | None = None,
    trial: Trial | None = None,
    about: Mapping[str, Any] | None = None,
    blind: bool = False,
) -> Summary:
    """Do the steps; on any failure or interruption put every host back and say so by the right error.

    states: of the hosts that take part; all unless given. about: what the ledger says of the release. blind: nobody
    can ask the database. NeedsPersonError, of such a run: every host serves the release, and clients do not get it.
    """
    states = run.states if states is None else states
    begun = ledger.now(run.entries)
    entry = Entry(
        str(uuid.uuid4()), action, release, ledger.BEGUN, begun, begun, getpass.getuser(), lock.machine(),
        lock.run_url(), run.command, {state.name: state.current for state in states},
        [*run.without, *run.session.missing], **(about or ledger.about(release, run.entries)),
    )  # fmt: skip
    rollout = run.rollout(entry, {state.name: state for state in states})
    rollout.artefacts, rollout.trial = artefacts or {}, trial
    rollout.blind, rollout.applied = blind, run.database["applied"] if run.database else ()
    try:
        if any(step.action is Action.MEASURE for step in steps):
            rollout.probe = Probe(run.balancers.addresses, run.settings, port=run.balancers.port)
            rollout.probe.start()
        rollout.run(steps)
    except LostLockError:
        rollout.measure(judge=False)
        raise
    except (KeyboardInterrupt, Exception) as error:  # whatever it was, the hosts come first
        with interruption.deferred():
            _after(run, rollout, error)
    if rollout.unseen:
        raise unseen(run, release, rollout.unseen)
    done = rollout.entry
    return Summary(
        action, release, [state.name for state in states if state.name in run.session.hosts], done.previous,
        done.migrated, done.without, done.measured, dict(run.report.seconds), run.report.total(), run.notes,
    )  # fmt: skip


def _after(run: Run, rollout: Rollout, error: BaseException) -> None:
    """After a failure: every host back, and the NexusError that tells it."""
    if rollout.entry.outcome == ledger.GOOD:  # it serves and is written down: what is left is tidying
        if isinstance(error, KeyboardInterrupt):
            raise failure.late(rollout) from None
        run.say(f"left for the next deploy: {failure.told(error)}")
        return
    step = rollout.step
    if isinstance(error, KeyboardInterrupt):
        rollout.until = time.monotonic() + INTERRUPTED_SECONDS
    back = homes(list(rollout.states.values()), ledger.last_good(run.entries))
    outcome, stuck = recovery.Outcome(), ""
    try:
        outcome = recovery.put_back(rollout, back)
        stuck = HostsError(outcome.stuck).text() if outcome.stuck else ""
    except LostLockError:
        rollout.measure(judge=False)
        raise
    except Exception as second:  # it is told beside the first
        stuck = failure.told(second)
    rollout.measure(judge=False)
    if outcome.late:
        raise failure.unfinished(rollout, run.settings.env, outcome.late) from None
    if step is Action.MIGRATE:
        with contextlib.suppress(Exception):
            rollout.entry = replace(rollout.entry, migrated=_migrated(rollout))
    with contextlib.suppress(Exception):  # the failure itself is what has to be told
        rollout.record(failure.outcome(error, step), failure.told(error)[: failure.LONGEST_REASON])
    raise failure.of(rollout, run.settings.env, error, outcome.lost, stuck) from None


def _migrated(rollout: Rollout) -> list[str]:
    """What a migration that failed, or was not waited for, has applied all the same. HostError: nobody can tell."""
    first = next(remote for name, remote in rollout.session.remotes.items() if rollout.states[name].web)
    said = first.call(commands.database(), timeout=rollout.left(30))
    known = rollout.artefacts[rollout.entry.release].manifest["migrations"]
    return [name for name in said["applied"] if name in known and name not in rollout.applied]
