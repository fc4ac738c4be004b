"""Releases: build, deploy, roll back, look, verify."""

from __future__ import annotations

import subprocess
import sys

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import inventory
from deploy.release import engine, show
from deploy.release.settings import default_environment
from deploy.specs import ROOT
from deploy.tasks.guard import guarded

ENV = "environment below inventories/; the default one of ansible.cfg unless given"
REF = "git ref of the release; HEAD unless given"


@task(help={"ref": REF, "env": ENV})
@guarded
def build(_context: Context, ref: str = "", env: str = "") -> None:
    """Build a release from a git ref, below build/."""
    print(show.artefact(engine.build(env or default_environment(), ref)))


@task(help={"ref": REF, "env": ENV})
@guarded
def deploy(_context: Context, ref: str = "", env: str = "") -> None:
    """Bring a release to every host, without dropping a request."""
    print(engine.deploy(env or default_environment(), ref))


@task(help={"env": ENV})
@guarded
def rollback(_context: Context, env: str = "") -> None:
    """Bring back the good release before the current one."""
    print(engine.rollback(env or default_environment()))


@task(help={"env": ENV})
@guarded
def status(_context: Context, env: str = "") -> None:
    """Show what every host runs, and what was done last."""
    print(show.status(engine.status(env or default_environment())))


@task(help={"env": ENV})
@guarded
def verify(_context: Context, env: str = "") -> None:
    """Prove that every host is what its roles say (read-only): pytest tests/roles, over ssh."""
    name = inventory.load(env or default_environment()).env
    code = subprocess.call([sys.executable, "-m", "pytest", "-q", "tests/roles", "--env", name], cwd=ROOT)
    if code:
        raise Exit(code=code)
