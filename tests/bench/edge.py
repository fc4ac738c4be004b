"""The balancers, each engine in its turn: what TLS and the way through one cost, and how soon a drain counts."""

from __future__ import annotations

import re
import subprocess
import time

from deploy.release.verify import tag
from lab import cgroups
from tests.bench import service
from tests.bench.figures import Figure
from tests.bench.rounds import done
from tests.fleet.balancers import Balancers
from tests.fleet.conftest import tool
from tests.fleet.load import Load
from tests.fleet.site import Site

ENGINES = ("haproxy", "nginx")
ROUNDS = 3
RATE = 30  # requests a second while a host is drained
HANDSHAKE_SECONDS = 5


def measure(site: Site) -> list[Figure]:
    """All of it, with the engine that the sandbox has at the end."""
    balancers = Balancers(site.lab, site.fleet, site.env, tool)
    was, found = balancers.engine, []
    try:
        for engine in (*(each for each in ENGINES if each != was), was):
            balancers.become(engine)
            found += of_engine(site, balancers, engine)
    finally:
        balancers.restore()
    return found


def of_engine(site: Site, balancers: Balancers, engine: str) -> list[Figure]:
    """The figures of one engine, on the first balancer."""
    name = balancers.names[0]
    resting = memory(site, name, engine)
    with service.drained(site, site.web[1:]):
        ratios = [service.direct_of_through(site) for _ in range(ROUNDS)]
    return [
        Figure(f"{engine}: direct requests/s, of those through the balancer (1.11 x is 0.9 of direct)",
               ratios, 1 / 0.9, "{:.2f} x"),
        Figure(f"{engine}: new TLS connections a second", [handshakes(site, name) for _ in range(ROUNDS)], None,
               "{:.0f}"),
        Figure(f"{engine}: memory of the idle balancer, what it shares counted in parts", [resting], None,
               "{:.0f} MiB"),
        Figure(f"{engine}: fab drain, from its start to the last new request", drains(site), 1.0),
    ]


def handshakes(site: Site, name: str) -> float:
    """New TLS 1.3 connections a second to a balancer, one after the other by a client beside it: s_time(1ssl)."""
    port = site.fleet.value(name, "loadbalancer_https_port")
    init = cgroups.host_init(site.lab.unit(site.host(name)))
    said = subprocess.run(
        ["nsenter", f"--net=/proc/{init}/ns/net", "openssl", "s_time", "-new", "-tls1_3", "-time",
         str(HANDSHAKE_SECONDS), "-connect", f"127.0.0.1:{port}"],
        capture_output=True, text=True, check=True,
    ).stdout
    match = re.search(r"(\d+) connections in (\d+) real seconds", said)
    assert match, said
    return int(match[1]) / int(match[2])


def memory(site: Site, name: str, engine: str) -> float:
    """MiB of all processes of a balancer: their proportional set sizes, proc_pid_smaps(5)."""
    rows = site.shell(name, f"for p in $(pgrep -x {engine}); do grep ^Pss: /proc/$p/smaps_rollup; done").splitlines()
    return sum(int(row.split()[1]) for row in rows) / 1024


def drains(site: Site) -> list[float]:
    """Seconds from the start of `fab drain` until the last request that the drained host was given, of each round."""
    victim, found = site.web[-1], []
    with Load(site.fleet, RATE) as load:
        for _ in range(ROUNDS):
            began = time.monotonic()
            done(site.start("drain", victim))
            load.settle()
            given = [each.at for each in load.results if each.server == tag(victim) and each.at >= began]
            found.append(max(given) - began if given else 0.0)
            done(site.start("undrain", victim))
            load.settle()
    return found
