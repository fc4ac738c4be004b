"""Cores as hosts of their own have them: one for the host that is measured, the rest for all the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lab import cgroups
from tests.fleet.site import Site


@contextmanager
def alone(site: Site, name: str) -> Iterator[None]:
    """A host on one core, the other hosts, this process and its children on the rest, while the block runs.

    Otherwise what a balancer and a client cost is taken from the web server beside them, and a web server's capacity
    cannot be told from the machine's. Needs two cores.
    """
    every = sorted(os.sched_getaffinity(0))
    assert len(every) > 1, "a host has no core of its own on a machine with one"
    measured = cgroups.processes(site.lab.unit(site.host(name)))
    others = [
        pid for host in site.lab.topology.hosts if host.name != name
        for pid in cgroups.processes(site.lab.unit(host))
    ]
    try:
        _keep(measured, {every[0]})
        _keep([os.getpid(), *others], set(every[1:]))
        yield
    finally:
        now = [pid for host in site.lab.topology.hosts for pid in cgroups.processes(site.lab.unit(host))]
        _keep([os.getpid(), *now], set(every))


def _keep(processes: list[int], cores: set[int]) -> None:
    """Have processes and their threads, and what these start, run on these cores; one that ends meanwhile is let go."""
    for process in processes:
        with suppress(FileNotFoundError, ProcessLookupError):
            for thread in Path(f"/proc/{process}/task").iterdir():
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(int(thread.name), cores)
