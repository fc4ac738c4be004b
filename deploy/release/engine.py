"""What the tasks call. Each verb is one function of an environment's name; NexusError: why it was not done."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from deploy import inventory
from deploy.errors import NoReleaseError, RollbackRefusedError, UnchangedError, UsageError
from deploy.inventory import Fleet
from deploy.release import (
    artefact,
    conduct,
    gate,
    interruption,
    joining,
    ledger,
    plan,
    settings,
    source,
    survey,
)
from deploy.release.artefact import Artefact
from deploy.release.report import Report
from deploy.release.run import Run, Summary
from deploy.release.settings import Settings
from deploy.release.state import serves
from deploy.release.survey import Release, Status
from deploy.release.trial import Trial
from deploy.specs import ROOT

BUILD = ROOT / "build"
HEAD = "HEAD"


def build(env: str, ref: str, root: Path = ROOT, out: Path = BUILD) -> Artefact:
    """Build the release of a git ref, for the hosts of an environment. Needs no host."""
    return _build(settings.read(inventory.load(env)), ref, Report(), root, out)


def deploy(
    env: str,
    ref: str,
    *,
    without: Sequence[str] = (),
    canary: float | None = None,
    budget: float = 0.01,
    wait: float = 0,
) -> Summary:
    """Bring the release of a git ref to every host.

    without: hosts to leave out; they are drained until `fab join`. canary: seconds for which the first web host has
    it alone, and goes back if more than `budget` (0 to 1) of its requests fail above the others' share. wait:
    seconds to wait for another run to end.
    """
    fleet, commit = inventory.load(env), source.resolve(ROOT, ref or HEAD)
    wanted, left = settings.read(fleet), _left(fleet, without, canary is not None)
    command = _command("deploy", env, "--ref", ref or HEAD, *(word for host in without for word in ("--without", host)))
    with interruption.handled(), Run(fleet, wanted, command, without=without) as run:
        built = _build(wanted, ref, run.report)
        gate.complete(run, built)
        run.lock(wait)
        run.look()
        if not without and serves(run.states, commit.release) and ledger.last_good(run.entries) == commit.release:
            return conduct.nothing(run, "deploy", commit.release)
        steps = plan.deploy(
            run.states, commit.release, canary=canary is not None, without=run.to_drain(without),
            migrate=gate.examine(run, built), warm=wanted.warm_seconds,
        )  # fmt: skip
        trial = Trial(canary or 0, budget, left, run.edge.traffic, run.session.lease)
        return conduct.carry_out(
            run, "deploy", commit.release, steps, artefacts={commit.release: built}, trial=trial, about=_about(built)
        )


def rollback(env: str, *, wait: float = 0) -> Summary:
    """Bring back the good release before the current one, without hosts that do not answer if most do."""
    fleet = inventory.load(env)
    with interruption.handled(), Run(fleet, settings.read(fleet), _command("rollback", env), stubborn=True) as run:
        run.lock(wait)
        run.look()
        serving = [state for state in run.states if not state.drained] or run.states
        staged = set.intersection(*(set(state.releases) for state in serving))
        target = ledger.rollback_target(run.entries, [state.current for state in serving], staged)
        if target is None:
            raise RollbackRefusedError(
                "there is no earlier good release on every host to roll back to", f"environment {env}",
                "fab status shows what there is; a fix goes out by fab deploy",
            )  # fmt: skip
        blind = not gate.allow(run, target)
        states = [state for state in run.states if target in state.releases]
        steps = plan.rollback(states, target, without=run.to_drain(run.session.missing), blind=blind)
        return conduct.carry_out(run, "rollback", target, steps, states=states, blind=blind)


def restart(env: str, *, wait: float = 0) -> Summary:
    """Replace every process of the current release by a new one: for changed settings and rotated secrets."""
    fleet = inventory.load(env)
    wanted = settings.read(fleet)
    with interruption.handled(), Run(fleet, wanted, _command("restart", env)) as run:
        run.lock(wait)
        run.look()
        release = joining.wanted(run, run.states)
        if release is None:
            raise NoReleaseError("no release is there to be restarted", f"environment {env}", f"fab deploy --env {env}")
        states = [state for state in run.states if state.current == release]
        return conduct.carry_out(
            run, "restart", release, plan.restart(states, release, warm=wanted.warm_seconds), states=states
        )


def join(env: str, host: str, *, wait: float = 0) -> Summary:
    """Bring a host that was left out, lost or rebuilt to the release that the others serve, and traffic back to it."""
    fleet = inventory.load(env)
    wanted = settings.read(fleet)
    _known(fleet, [host])
    with interruption.handled(), Run(fleet, wanted, _command("join", env, host), needed=[host]) as run:
        return joining.join(run, host, wait, lambda release: _rebuild(wanted, release, run.report))


def status(env: str) -> Status:
    """Ask every host and every balancer; changes nothing and takes no lock."""
    fleet = inventory.load(env)
    with interruption.handled():
        return survey.status(fleet, settings.read(fleet))


def releases(env: str) -> list[Release]:
    """Every release that the hosts remember, the last one that was touched first."""
    return survey.releases(status(env))


def preflight(env: str, ref: str) -> list[str]:
    """Check all that a deploy of a git ref needs; answers what else is worth knowing. PreflightError: all problems."""
    fleet = inventory.load(env)
    wanted = settings.read(fleet)
    with interruption.handled(), Run(fleet, wanted, _command("preflight", env)) as run:
        built = _build(wanted, ref or HEAD, run.report)
        gate.complete(run, built)
        run.read()
        gate.examine(run, built)
        return run.notes


def _build(wanted: Settings, ref: str, report: Report, root: Path = ROOT, out: Path = BUILD) -> Artefact:
    commit = source.resolve(root, ref or HEAD)
    if not ref and not wanted.allow_dirty:
        source.refuse_changes(root, HEAD)
    with report.step("build") as notes:
        out.mkdir(parents=True, exist_ok=True)
        built = artefact.build(root, commit, wanted, out)
        notes.append(f"{built.release}, {built.size / 1e6:.1f} MB")
    return built


def _rebuild(wanted: Settings, release: str, report: Report) -> Artefact:
    """The artefact of a release that serves: the same commit gives the same bytes."""
    if source.resolve(ROOT, release[-7:]).release != release:
        raise UnchangedError(f"the commit of {release} is not in this clone", str(ROOT), "git fetch")
    return _build(wanted, release[-7:], report)


def _about(built: Artefact) -> dict[str, str]:
    """What the ledger keeps of a release itself."""
    said = {name: str(built.manifest[name]) for name in ("commit", "author", "subject")}
    return {**said, "built_by": built.built_by, "built_at": built.built_at}


def _known(fleet: Fleet, hosts: Sequence[str]) -> None:
    """UsageError if one of the names is no host that runs releases."""
    names = [host.name for host in settings.hosts(fleet)]
    if unknown := [host for host in hosts if host not in names]:
        raise UsageError(
            f"no host '{unknown[0]}' runs releases", f"inventories/{fleet.env}", f"there are: {', '.join(names)}"
        )


def _left(fleet: Fleet, without: Sequence[str], canary: bool) -> list[str]:
    """The web hosts that take part. UsageError: none, or a canary that nothing can be compared with."""
    _known(fleet, without)
    left = [host.name for host in fleet.need("web") if host.name not in without]
    if not left:
        raise UsageError("no web host would be left", "--without", "name fewer hosts")
    if canary and len(left) < 2:
        raise UsageError("a canary needs a second web host to compare with", "--canary", "deploy without --canary")
    return left


def _command(verb: str, env: str, *more: str) -> str:
    return shlex.join(["fab", verb, *more, "--env", env])
