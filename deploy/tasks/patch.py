"""`fab patch`: the hosts' packages, upgraded one host after another."""

from __future__ import annotations

from collections.abc import Sequence

from invoke.context import Context
from invoke.tasks import task

from deploy.release.settings import default_environment
from deploy.tasks import words
from deploy.tasks.guard import guarded


@task(
    optional=["wait"],
    iterable=["host"],
    help={
        "host": "a host to patch; may be given again; all unless given",
        "check": "list what could be upgraded, and change nothing",
        "allow-outage": "also hosts whose restart takes part of the service away",
        "env": "environment below inventories/; the default one of ansible.cfg unless given",
        "wait": "wait for another run's lock: 10 minutes, or a duration such as 90s",
    },
)
@guarded
def patch(
    _context: Context, host: Sequence[str] | None = None, check: bool = False, allow_outage: bool = False,
    env: str = "", wait: str = "",
) -> None:  # fmt: skip
    """Upgrade the hosts' packages, held ones too: drain, upgrade, reboot where needed, undrain, next."""
    from deploy.patch import engine, show

    name, hosts = env or default_environment(), tuple(host or ())
    if check:
        print(show.check(engine.check(name, hosts)))
        return
    print(show.patched(engine.patch(name, hosts, allow_outage=allow_outage, wait=words.wait(wait))))
