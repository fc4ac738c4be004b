"""Back to where it was: after a failure of this run, and after one that was killed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from deploy.errors import LostLockError
from deploy.release import commands, ledger, plan
from deploy.release.ledger import Entry
from deploy.release.plan import Action, Step
from deploy.release.remote import FencedError, HostError, Remote, UnreachableError
from deploy.release.rollout import DRAIN_SECONDS, Rollout
from deploy.release.session import HostsError
from deploy.release.state import HostState
from deploy.release.verify import VerifyError

FINISH, UNDO = "finish", "undo"
FENCE_SECONDS = 1.0  # for each answer of a host when the run was interrupted
ACT_SECONDS = 120.0


@dataclass
class Outcome:
    """How putting back went. lost: hosts that do not answer, and are drained. stuck: what failed on the others.

    late: hosts that an interrupted run could not wait for; the next command goes on with them.
    """

    lost: list[str] = field(default_factory=list)
    stuck: list[HostError] = field(default_factory=list)
    late: list[str] = field(default_factory=list)


def verdict(states: Sequence[HostState], entry: Entry) -> str:
    """What is to be done about a run that was killed: finish it, if every host serves its release; else undo it.

    A restart is done only where no host has the old settings any more.
    """
    served = all(state.current == entry.release == state.serving() for state in states)
    behind = entry.action == "restart" and any(state.stale for state in states)
    return FINISH if served and not behind else UNDO


def put_back(rollout: Rollout, homes: Mapping[str, str | None]) -> Outcome:
    """Put every host back on its home release, each independently of the others. LostLockError: this run may not.

    A host that cannot be reached is drained on every balancer, if the switch had begun. VerifyError: the balancers
    do not show the old release. Nothing is waited for beyond `rollout.until`.
    """
    session, outcome = rollout.session, Outcome()
    _drain(rollout, rollout.undrained, outcome)
    with rollout.report.step("put every host back"):
        session.fence(120 if rollout.until == math.inf else FENCE_SECONDS)
        here = [host for host in homes if host in session.hosts]
        try:
            session.each(here, lambda remote: _restore(rollout, remote, homes[remote.name]))
        except HostsError as failures:
            for failure in failures.failures:
                if not isinstance(failure, UnreachableError):
                    outcome.stuck.append(failure)
                elif time.monotonic() >= rollout.until:
                    outcome.late.append(failure.host)
                else:
                    session.drop(failure)
    outcome.lost = [host for host in homes if host not in session.hosts]
    if not rollout.swapped:
        return outcome
    _drain(rollout, [host for host in outcome.lost if rollout.states[host].web], outcome)
    found = {homes[host] for host in homes if host not in outcome.lost}
    home = found.pop() if len(found) == 1 else None
    asked = tuple(host for host in homes if rollout.states[host].asked and host not in outcome.lost)
    if home and asked and not outcome.stuck and not outcome.late:
        try:
            rollout.run([Step(Action.VERIFY, asked, home)])
        except VerifyError:
            if time.monotonic() < rollout.until:
                raise
            outcome.late += asked
    return outcome


def _drain(rollout: Rollout, hosts: Sequence[str], outcome: Outcome) -> None:
    """Out of rotation, as far as the balancers allow: what they refuse keeps no host from being put back."""
    try:
        rollout.drain(hosts)
    except HostsError as failures:
        outcome.stuck += failures.failures


def recover(rollout: Rollout) -> str:
    """Finish or undo a run that was killed, and write down how; answers one line that says so.

    rollout: its entry is that run's; its states are those of the hosts that took part and are there now. Never
    raises for what cannot be put right: what comes next brings every host to one release. LostLockError alone.
    """
    entry, states = rollout.entry, list(rollout.states.values())
    run, why = f"the {entry.action} of {entry.release} that was killed ({entry.who}, {entry.started[:19]}Z)", ""
    rollout.swapped = [state.name for state in states]  # as far as it came; a host that was not is none the worse
    if verdict(states, entry) == FINISH:
        try:
            warm = rollout.session.settings.warm_seconds
            rollout.run(plan.finish(states, entry.release, entry.action, warm=warm))
            return f"{run} served everywhere: it is finished"
        except LostLockError:
            raise
        except Exception as error:  # it was not as good as it looked
            why = f"; it could not be finished: {error}"
    try:
        if entry.action == "join":
            rollout.undrained = [state.name for state in states if state.web]
            rollout.states = {state.name: replace(state, drained=True) for state in states}
        outcome = put_back(rollout, _homes(rollout))
        why += "".join(f"; {failure}" for failure in outcome.stuck)
        why += "".join(f"; {host} does not answer" for host in outcome.lost)
    except LostLockError:
        raise
    except Exception as error:  # told; the command that follows is what mends it
        why += f"; {error}"
    with contextlib.suppress(HostsError):  # a host that is lost now learns it from the others' ledgers
        rollout.record(ledger.UNDONE, f"killed on the way{why}")
    return f"{run} is undone{why}"


def _homes(rollout: Rollout) -> dict[str, str | None]:
    """Where each host goes when a killed run is undone: to what served before; where hosts disagreed by then, to the
    last good release, if the host holds it."""
    before, good = rollout.entry.previous, ledger.last_good(rollout.entries)
    split = len(set(before.values())) > 1
    return {
        host: good if split and good in state.releases else before.get(host) for host, state in rollout.states.items()
    }


def _restore(rollout: Rollout, remote: Remote, home: str | None) -> None:
    """One host: back to what served there before; started anew where that cannot be used any more."""
    before, entry = rollout.states[remote.name], rollout.entry
    failed = "" if entry.action == "rollback" else entry.release
    now = _look(rollout, remote)
    steps = plan.restore(now, home, failed=failed, was=before.activation, warm=rollout.session.settings.warm_seconds)
    try:
        _do(rollout, remote, steps, home)
    except (UnreachableError, FencedError):
        raise
    except HostError:
        used = any(step.activations for step in steps if step.action is Action.SWAP)
        if home is None or not used or _look(rollout, remote).serving() == home:
            raise
        _do(rollout, remote, plan.restart_home(now, home), home)


def _look(rollout: Rollout, remote: Remote) -> HostState:
    before = rollout.states[remote.name]
    return HostState.of(
        remote.name, remote.call(commands.status(), timeout=rollout.left(ACT_SECONDS)),
        web=before.web, processes=before.processes, drained=before.drained,
    )  # fmt: skip


def _do(rollout: Rollout, remote: Remote, steps: Sequence[Step], home: str | None) -> None:
    """Steps that are about one host alone, which bring it home."""
    token, activation, red = rollout.token(remote), "", None
    for step in steps:
        known = step.activations.get(remote.name, "")
        rollout.report.host(remote.name, step.action.value)
        if step.action is Action.START:
            command, patience = commands.start(step.argument, token, known), rollout.left(DRAIN_SECONDS)
            activation = str(remote.call(command, timeout=patience)["activation"])
        elif step.action is Action.SWAP:
            red = _swap(rollout, remote, known or activation, home)
        elif step.action is Action.RETIRE:
            command = commands.retire(token, known, step.seconds, wait=False)
            remote.call(command, timeout=rollout.left(ACT_SECONDS))
        elif step.action is Action.CLEAR:
            remote.call(commands.clear(token, wait=False), timeout=rollout.left(ACT_SECONDS))
    if red:
        raise red
    rollout.report.host(remote.name, "back")


def _swap(rollout: Rollout, remote: Remote, activation: str, home: str | None) -> HostError | None:
    """Switch a host; answers what stands against it where the host serves its home release all the same: what else
    runs there has to end even then. HostError: it does not."""
    try:
        remote.call(commands.swap(activation, rollout.token(remote)), timeout=rollout.left(ACT_SECONDS))
        return None
    except (UnreachableError, FencedError):
        raise
    except HostError as error:
        if home is None or _look(rollout, remote).serving() != home:
            raise
        return error
