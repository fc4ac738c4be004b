"""What the task calls: list what there is to upgrade, and roll it over the fleet. NexusError: why it was not done."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from deploy import inventory
from deploy.errors import (
    InterruptedRunError,
    LostLockError,
    NeedsPersonError,
    NexusError,
    PreflightError,
    UsageError,
)
from deploy.inventory import Fleet
from deploy.patch import plan
from deploy.patch.facts import Survey
from deploy.patch.front import Front, floating
from deploy.patch.hosts import Operated
from deploy.patch.plan import Turn
from deploy.patch.roll import ClientsError, Done, Roll, still
from deploy.release import failure, interruption, settings
from deploy.release.remote import HostError
from deploy.release.run import Run
from deploy.release.session import HostsError


@dataclass(frozen=True)
class Patched:
    """What a run did. current: hosts that had nothing to upgrade."""

    done: Sequence[Done] = ()
    current: Sequence[str] = ()
    total: float = 0.0
    notes: Sequence[str] = field(default=())


def check(env: str, hosts: Sequence[str] = ()) -> dict[str, Survey]:
    """What each host could upgrade, by the package lists that it has; changes nothing."""
    fleet = inventory.load(env)
    return _survey({name: Operated(fleet, fleet.hosts[name]) for name in _named(fleet, hosts)}, env, refresh=False)


def patch(env: str, hosts: Sequence[str] = (), *, allow_outage: bool = False, wait: float = 0) -> Patched:
    """Upgrade every package of the hosts (all unless given), one host after another, while the fleet serves.

    allow_outage: also hosts whose restart takes something of the service away. wait: seconds to wait for another
    run's lock.
    """
    fleet = inventory.load(env)
    names, floats = _named(fleet, hosts), floating(fleet)
    operated = {name: Operated(fleet, fleet.hosts[name]) for name in names}
    command = shlex.join(["fab", "patch", *(word for host in hosts for word in ("--host", host)), "--env", env])
    with interruption.handled(), Run(fleet, settings.read(fleet), command) as run:
        run.lock(wait)
        run.look()
        front = Front(run, floats)
        with run.report.step("look at the packages"):
            surveys = _survey(operated, env, refresh=True)
        turns = plan.order([plan.turn(fleet, name, floats) for name in names], surveys)
        _admit(fleet, front, turns, surveys, allow_outage)
        for line in plan.outage(turns):
            run.say(f"away during its restart: {line}")
        done = _roll(Roll(run, front, operated), turns, surveys, env)
        busy = {turn.host for turn in turns}
        return Patched(done, [name for name in names if name not in busy], run.report.total(), run.notes)


def _named(fleet: Fleet, hosts: Sequence[str]) -> list[str]:
    if unknown := [host for host in hosts if host not in fleet.hosts]:
        raise UsageError(f"no host '{unknown[0]}'", f"inventories/{fleet.env}", f"there are: {', '.join(fleet.hosts)}")
    return [name for name in fleet.hosts if not hosts or name in hosts]


def _survey(hosts: dict[str, Operated], env: str, *, refresh: bool) -> dict[str, Survey]:
    """What all hosts say, asked at once. PreflightError: one that cannot."""
    failed: list[HostError] = []
    found: dict[str, Survey] = {}
    with ThreadPoolExecutor(max_workers=max(len(hosts), 1)) as pool:
        asked = {name: pool.submit(host.survey, refresh=refresh) for name, host in hosts.items()}
        for name, answer in asked.items():
            try:
                found[name] = answer.result()
            except HostError as error:
                failed.append(error)
    if failed:
        raise HostsError(failed).as_preflight(env)
    return found


def _admit(fleet: Fleet, front: Front, turns: Sequence[Turn], surveys: dict[str, Survey], allow_outage: bool) -> None:
    """PreflightError: with everything that stands against the run, before anything is touched."""
    if problems := plan.obstacles({turn.host: surveys[turn.host] for turn in turns}):
        text = "\n".join(f"  {host}: {what}\n    mend: {mend}" for host, what, mend in problems)
        raise PreflightError(f"nothing was changed:\n{text}")
    if not turns or allow_outage:
        return
    away = plan.outage(turns)
    if away:
        kept = [name for turn in turns if not turn.away for name in ("--host", turn.host)]
        rest = f"; the others alone: fab patch --env {fleet.env} {' '.join(kept)}" if kept else ""
        raise PreflightError(
            "part of the service is away while these hosts restart it, nothing was changed:\n  " + "\n  ".join(away),
            mend=f"at a quiet hour: fab patch --env {fleet.env} --allow-outage{rest}",
        )
    if not front.ready():
        raise PreflightError(
            "the service is not ready through the balancer, so nobody could tell whether the roll harms it",
            f"environment {fleet.env}", f"fab status --env {fleet.env}; or go on all the same: --allow-outage",
        )  # fmt: skip


def _roll(roll: Roll, turns: Sequence[Turn], surveys: dict[str, Survey], env: str) -> list[Done]:
    done: list[Done] = []
    again = f"fab patch --env {env}"
    for number, turn in enumerate(turns):
        left = ", ".join(each.host for each in turns[number + 1 :]) or "none"
        try:
            done.append(roll.host(turn, surveys[turn.host]))
        except (KeyboardInterrupt, InterruptedRunError):
            what = f"interrupted; {still(turn, roll.out)}; not patched yet: {left}"
            raise InterruptedRunError(what, turn.host, f"{again} goes on with it") from None
        except LostLockError:
            raise
        except ClientsError as error:
            raise NeedsPersonError(f"the roll stopped; not patched yet: {left}\n  {error}", turn.host, again) from None
        except Exception as error:
            why = f"  {error.what}" if isinstance(error, NexusError) else failure.told(_several(error))
            raise NeedsPersonError(
                f"the roll stopped; {still(turn, roll.out)}; not patched yet: {left}; the others serve:\n{why}",
                turn.host, f"correct the cause, then {again} goes on with it",
            ) from None  # fmt: skip
    return done


def _several(error: Exception) -> Exception:
    return HostsError([error]) if isinstance(error, HostError) else error
