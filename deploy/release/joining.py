"""One host brought to what the others serve: after it was left out, lost, repaired or built anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from deploy.errors import UnchangedError
from deploy.release import conduct, ledger, plan
from deploy.release.artefact import Artefact
from deploy.release.run import Run, Summary
from deploy.release.state import HostState


def join(run: Run, host: str, wait: float, build: Callable[[str], Artefact]) -> Summary:
    """Bring a host to the release that serves, and traffic back to it. build: the artefact of a release.

    The others need not all be there. UnchangedError: nothing serves that it could be brought to.
    """
    run.lock(wait)
    run.look()
    one = next(replace(state, drained=True) for state in run.states if state.name == host)
    others = [state for state in run.states if state.name != host]
    release = wanted(run, others)
    if release is None:
        raise UnchangedError(
            "no release serves that this host could be brought to", host, f"fab deploy --env {run.settings.env}"
        )
    previous = ledger.rollback_target(
        run.entries, [release], set.intersection(*(set(state.releases) for state in others)) if others else set()
    )
    missing = [each for each in (release, previous) if each and each not in one.releases]
    artefacts = {each: build(each) for each in missing}
    steps = plan.join(one, release, run.session.hosts, previous)
    return conduct.carry_out(run, "join", release, steps, states=[one], artefacts=artefacts)


def wanted(run: Run, others: Sequence[HostState]) -> str | None:
    """The release that hosts are to serve: what those do that are not drained. UnchangedError: they do not agree."""
    found = {state.current for state in others if not state.drained} or {state.current for state in others}
    if len(found) > 1:
        raise UnchangedError(
            "the hosts do not serve the same release", f"environment {run.settings.env}",
            f"fab deploy --env {run.settings.env} brings all of them to one",
        )  # fmt: skip
    return found.pop() if found else ledger.last_good(run.entries)
