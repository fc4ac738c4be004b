"""Work on a host, or on all of the service: out of the balancers' rotation and back, and the maintenance page.

A drain is to count within a second of its command: what only a release needs is not imported for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from deploy import inventory
from deploy.errors import NeedsPersonError, PreflightError, UsageError
from deploy.inventory import Fleet
from deploy.release import settings
from deploy.release.balancer import Edge
from deploy.release.session import HostsError


def drain(env: str, host: str) -> None:
    """Take a web host out of rotation on every balancer, until `undrain` or `join`.

    UsageError: it is none. NeedsPersonError: a balancer refused.
    """
    fleet = inventory.load(env)
    _check(fleet, host)
    with _edge(fleet) as edge:
        edge.drain(host)


def undrain(env: str, host: str) -> None:
    """Put a web host back into rotation. UsageError: it is none. PreflightError: it would answer by another release."""
    from deploy.release import interruption
    from deploy.release.run import Run

    fleet = inventory.load(env)
    _check(fleet, host)
    with interruption.handled(), Run(fleet, settings.read(fleet), "fab undrain") as run:
        run.read()
        found = {state.name: state.serving() for state in run.states}
        others = {state.serving() for state in run.states if state.asked and state.name != host}
        if found.get(host) is None or others - {found[host]}:
            says = f"serves {found[host] or 'nothing'}" if host in found else "does not answer"
            raise PreflightError(
                f"it {says}, the others {', '.join(sorted(str(other) for other in others)) or 'nothing'}", host,
                f"fab join {host} --env {fleet.env}",
            )  # fmt: skip
    with _edge(fleet) as edge:
        edge.undrain(host)


def maintenance(env: str, on: bool, retry_after: int | None = None) -> None:
    """Answer every client 503 at every balancer, or no longer. retry_after: seconds that clients are told to wait.

    NeedsPersonError: a balancer failed.
    """
    with _edge(inventory.load(env)) as edge:
        edge.maintenance(on, retry_after)


def _check(fleet: Fleet, host: str) -> None:
    names = [each.name for each in fleet.need("web")]
    if host not in names:
        raise UsageError(f"no web host '{host}'", f"inventories/{fleet.env}", f"there are: {', '.join(names)}")


@contextlib.contextmanager
def _edge(fleet: Fleet) -> Iterator[Edge]:
    wanted = settings.read(fleet)
    edge = Edge([settings.target(host) for host in fleet.need("loadbalancers")], wanted)
    try:
        edge.connect()
        yield edge
    except HostsError as failures:
        raise NeedsPersonError(
            f"not every balancer did it:\n{failures.text()}", f"environment {fleet.env}", "mend it and run this again"
        ) from None
    finally:
        edge.close()
