"""How a run that failed is told: what happened, where everything stands now, and the next command."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.errors import InterruptedRunError, NeedsPersonError, NexusError, RolledBackError, UnchangedError
from deploy.release import ledger
from deploy.release.plan import Action
from deploy.release.probe import MeasuredError
from deploy.release.rollout import Rollout
from deploy.release.session import HostsError
from deploy.release.trial import CanaryError
from deploy.release.verify import VerifyError

LONGEST_REASON = 2000
FORESEEN = (VerifyError, CanaryError, MeasuredError, NexusError)


def told(error: BaseException) -> str:
    """A failed step as text: every host with its unit and journal, or the balancer's answer, or the defect."""
    if isinstance(error, KeyboardInterrupt):
        return "  interrupted"
    if isinstance(error, HostsError):
        return error.text()
    return f"  {error}" if isinstance(error, FORESEEN) else f"  {type(error).__name__}: {error}"


def outcome(error: BaseException, step: Action | None) -> str:
    """How the ledger names it: only what the release is to blame for makes it one that failed.

    That is what was measured; and a unit of it that did not start, or that did not answer when it was switched to. A
    full disk, a balancer that refuses, a host that is gone are not: it may be gone back to once they are mended.
    """
    if isinstance(error, MeasuredError | CanaryError):
        return ledger.FAILED
    own = isinstance(error, HostsError) and any(failure.unit for failure in error.failures)
    return ledger.FAILED if own and step in (Action.START, Action.SWAP) else ledger.INTERRUPTED


def of(rollout: Rollout, env: str, error: BaseException, lost: Sequence[str], stuck: str) -> NexusError:
    """The error that a run ends with after its hosts were put back.

    lost: hosts that do not answer; where the switch had begun they are drained. stuck: what kept hosts from being
    put back; empty if nothing did.
    """
    entry, why = rollout.entry, told(error)
    where = f"{entry.action} of {entry.release}"
    again = f"correct the cause, then: fab {entry.action} --env {env}"
    if entry.migrated:
        why += f"\n  applied migrations stay: {', '.join(entry.migrated)}"
    if stuck:
        return NeedsPersonError(
            f"it failed, and not every host could be put back:\n{why}\nputting back:\n{stuck}",
            where, f"fab status --env {env}, then mend the host named and run it again",
        )  # fmt: skip
    every = "every other host" if lost else "every host"
    if lost and rollout.swapped:
        why += f"\n  lost on the way, and drained on every balancer: {', '.join(lost)}"
        again = f"{'; '.join(f'fab join {host} --env {env}' for host in lost)}, once it is back"
    if isinstance(error, KeyboardInterrupt):
        return InterruptedRunError(f"interrupted; {every} is on what it ran before", where, again)
    if not rollout.swapped:
        return UnchangedError(f"it failed before any host was switched:\n{why}", where, again)
    return RolledBackError(f"it failed, and {every} is back on what it ran before:\n{why}", where, again)


def unfinished(rollout: Rollout, env: str, hosts: Sequence[str]) -> NexusError:
    """The error of an interruption that could not wait until its hosts were back; the ledger says `begun` still."""
    return InterruptedRunError(
        f"interrupted; not waited for until back on what it ran before: {', '.join(hosts)}",
        f"{rollout.entry.action} of {rollout.entry.release}",
        f"the next fab command goes on with it; fab status --env {env} says what runs",
    )


def late(rollout: Rollout) -> NexusError:
    """The error of an interruption that came when all but tidying was done."""
    entry = rollout.entry
    return InterruptedRunError(
        f"interrupted, but done: {entry.release} serves every host; old files are left for the next deploy",
        f"{entry.action} of {entry.release}",
    )
