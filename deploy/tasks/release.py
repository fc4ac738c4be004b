"""Releases: check, build, deploy, roll back, restart, look, verify.

What the engine needs takes long to import, so that each task that calls it does so itself.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import inventory
from deploy.release.settings import default_environment
from deploy.specs import ROOT
from deploy.tasks import words
from deploy.tasks.guard import guarded

ENV = "environment below inventories/; the default one of ansible.cfg unless given"
REF = "git ref of the release; HEAD unless given"
WAIT = "wait for another run's lock: 10 minutes, or a duration such as 90s"
JSON = "print JSON, for programs"


@task(help={"ref": REF, "env": ENV})
@guarded
def build(_context: Context, ref: str = "", env: str = "") -> None:
    """Build a release from a git ref, below build/."""
    from deploy.release import engine, show

    print(show.artefact(engine.build(env or default_environment(), ref)))


@task(help={"ref": REF, "env": ENV})
@guarded
def preflight(_context: Context, ref: str = "", env: str = "") -> None:
    """Check all that a deploy needs, on every host; changes nothing."""
    from deploy.release import engine

    engine.preflight(env or default_environment(), ref)
    print("a deploy can begin")


@task(
    optional=["wait"],
    iterable=["without"],
    help={
        "ref": REF,
        "env": ENV,
        "wait": WAIT,
        "without": "a host to leave out, drained until `fab join`; may be given again",
        "canary": "watch the first host alone for a duration such as 5m, and go back if it does worse",
        "budget": "how many more of its requests than of the others' may fail in the canary",
    },
)
@guarded
def deploy(
    _context: Context, ref: str = "", env: str = "", without: Sequence[str] | None = None, canary: str = "",
    budget: str = "1%", wait: str = "",
) -> None:  # fmt: skip
    """Bring a release to every host, without dropping a request."""
    from deploy.release import engine, show

    watched = words.seconds(canary, "--canary") if canary else None
    done = engine.deploy(env or default_environment(), ref, without=tuple(without or ()), canary=watched,
                         budget=words.share(budget, "--budget"), wait=words.wait(wait))  # fmt: skip
    print(show.summary(done))


@task(optional=["wait"], help={"env": ENV, "wait": WAIT})
@guarded
def rollback(_context: Context, env: str = "", wait: str = "") -> None:
    """Bring back the good release before the current one."""
    from deploy.release import engine, show

    print(show.summary(engine.rollback(env or default_environment(), wait=words.wait(wait))))


@task(optional=["wait"], help={"env": ENV, "wait": WAIT})
@guarded
def restart(_context: Context, env: str = "", wait: str = "") -> None:
    """Start the current release anew, host by host: takes in changed settings and secrets."""
    from deploy.release import engine, show

    print(show.summary(engine.restart(env or default_environment(), wait=words.wait(wait))))


@task(help={"env": ENV, "json": JSON})
@guarded
def releases(_context: Context, env: str = "", json: bool = False) -> None:
    """List the releases: what became of each, and where it is live or warm."""
    from deploy.release import engine, show

    found = engine.releases(env or default_environment())
    print(show.as_json(found) if json else show.releases(found))


@task(help={"env": ENV, "json": JSON})
@guarded
def status(_context: Context, env: str = "", json: bool = False) -> None:
    """Show what every host runs, and what was done last."""
    from deploy.release import engine, show

    found = engine.status(env or default_environment())
    print(show.as_json(found) if json else show.status(found))


@task(help={"env": ENV})
@guarded
def verify(_context: Context, env: str = "") -> None:
    """Prove that every host is what its roles say (read-only): pytest tests/roles, over ssh."""
    name = inventory.load(env or default_environment()).env
    code = subprocess.call([sys.executable, "-m", "pytest", "-q", "tests/roles", "--env", name], cwd=ROOT)
    if code:
        raise Exit(code=code)
