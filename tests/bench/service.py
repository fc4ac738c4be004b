"""The booking service itself, on one web host: searching 100,000 places, booking, getting ready, a worker's memory."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from deploy.client import Client
from lab import cgroups
from tests.bench import cores
from tests.bench.figures import Figure
from tests.bench.rounds import done
from tests.fleet import commits
from tests.fleet.site import Site

LISTINGS = BOOKINGS = 100_000
SEED = 7
SECONDS = 15.0
ROUNDS = 3
SEARCHES, BOOKED = 50, 20  # a second
CLIENTS = 8
STARTS = 3
PLACES = ("Addis Ababa", "Bahir Dar", "Gondar", "Hawassa", "Lalibela", "Mekelle", "Dire Dawa", "Arba Minch")
WORDS = ("lodge", "flat", "loft", "cottage", "courtyard house", "guest house")


def measure(site: Site) -> list[Figure]:
    """All of it; the other web hosts are drained meanwhile, and the rows stay."""
    first, others = site.web[0], site.web[1:]
    site.inside(first, "/usr/local/bin/booking-manage", "seed", "--listings", str(LISTINGS), "--bookings",
                str(BOOKINGS), "--seed", str(SEED))
    site.sql("ANALYZE")
    with drained(site, others):
        searched = [asked(site, searches(), rate=SEARCHES) for _ in range(ROUNDS)]
        booked = [asked(site, bookings(site), rate=BOOKED) for _ in range(ROUNDS)]
        ratios = [direct_of_through(site) for _ in range(ROUNDS)]
        starts = [started(site, others[0]) for _ in range(STARTS)]
    return [
        Figure(f"search of {LISTINGS:,} places at {SEARCHES}/s, one web host: p95",
               [p95(each) for each in searched], 0.05, "{:.3f} s"),
        Figure(f"booking, to be paid, at {BOOKED}/s, one web host: p95",
               [p95(each) for each in booked], 0.08, "{:.3f} s"),
        Figure("of these requests failed", [sum(each["failed"] for each in searched + booked)], 0, "{:.0f}"),
        Figure("direct requests/s, of those through the balancer (1.11 x is 0.9 of direct)",
               ratios, 1 / 0.9, "{:.2f} x"),
        Figure("start of a web process until it is ready", starts, 1.0),
        Figure("memory of a worker, what it shares counted in parts", memory(site, first), None, "{:.0f} MiB"),
    ]


@contextmanager
def drained(site: Site, names: list[str]) -> Iterator[None]:
    """These hosts get no requests while the block runs."""
    for name in names:
        done(site.start("drain", name))
    try:
        yield
    finally:
        for name in names:
            done(site.start("undrain", name))


def searches() -> list[list[Any]]:
    """Questions as people ask them, hardly one twice."""
    draw, found = random.Random(SEED), []
    for _ in range(int(SEARCHES * SECONDS)):
        day = datetime(2030, 1, 1, tzinfo=UTC).date() + timedelta(days=draw.randint(0, 300))
        words = [
            f"place={draw.choice(PLACES)}", f"price_max={draw.randint(40, 400)}", f"guests={draw.randint(1, 6)}",
            f"search={draw.choice(WORDS)} {draw.choice(PLACES)}", f"currency={draw.choice(('ETB', 'USD'))}",
            f"check_in={day}&check_out={day + timedelta(days=draw.randint(1, 7))}",
        ]
        order = draw.choice(("", "&ordering=price", "&ordering=-price"))
        found.append(["GET", f"/api/v1/listings/?{'&'.join(draw.sample(words, 2))}{order}", None])
    return found


def bookings(site: Site) -> list[list[Any]]:
    """A booking each of another place, on days that nobody has; to be paid, so that its mails come later."""
    rows = site.sql(f"SELECT id FROM listings_listing WHERE currency = 'ETB' AND status = 'published' ORDER BY id "
                    f"LIMIT {int(BOOKED * SECONDS)}").split()
    first = date.fromisoformat(site.sql("SELECT max(check_out) FROM bookings_booking"))
    stay = {"check_in": str(first), "check_out": str(first + timedelta(days=2)), "guests": 1}
    return [["POST", "/api/v1/bookings/", {"listing": int(row), **stay}] for row in rows]


def one_listing(site: Site) -> list[list[Any]]:
    """One place, again and again."""
    listing = site.sql("SELECT max(id) FROM listings_listing WHERE status = 'published'")
    return [["GET", f"/api/v1/listings/{listing}/", None]]


def asked(site: Site, requests: list[list[Any]], *, rate: float = 0, clients: int = 0,
          past_balancer: bool = False) -> dict[str, Any]:
    """What the requests came to: by TLS to a balancer, from this machine, which it does not limit; or past it to the
    web server, which lets only balancers in, from the network of one."""
    balancer = site.fleet.need("loadbalancers")[0]
    with Client(site.fleet) as client:
        token = client.login(f"bench-{uuid.uuid4().hex[:10]}@example.org", uuid.uuid4().hex)
        domain = client.domain
    headers = {"Authorization": f"Bearer {token}"}
    if past_balancer:
        web = site.fleet.group("web")[0]
        base = f"http://{domain}:{site.fleet.value(web.name, 'nginx_port')}"
        address, authority = web.address, ""
        headers |= {"Host": domain, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    else:
        base = f"https://{domain}:{site.fleet.value(balancer.name, 'loadbalancer_https_port')}"
        address, authority = balancer.address, str(site.fleet.value(balancer.name, "release_ca_file"))
    plan = {"base": base, "address": address, "authority": authority, "headers": headers, "seconds": SECONDS,
            "rate": rate, "clients": clients, "requests": requests}
    beside = []
    if past_balancer:
        init = cgroups.host_init(site.lab.unit(site.host(balancer.name)))
        beside = ["nsenter", f"--net=/proc/{init}/ns/net"]
    answered = subprocess.run(
        [*beside, sys.executable, "-m", "tests.bench.hammer"],
        cwd=commits.ROOT, input=json.dumps(plan), capture_output=True, text=True, check=True,
    )
    found: dict[str, Any] = json.loads(answered.stdout)
    return found


def direct_of_through(site: Site) -> float:
    """How many times the requests a second that the balancer lets through the web server answers without it; what the
    balancer and the client cost themselves is not taken from it."""
    with cores.alone(site, site.web[0]):
        through = asked(site, one_listing(site), clients=CLIENTS)
        direct = asked(site, one_listing(site), clients=CLIENTS, past_balancer=True)
    assert through["failed"] == direct["failed"] == 0, "an answer that is refused costs nothing"
    return float(direct["per_second"] / through["per_second"])


def p95(found: dict[str, Any]) -> float:
    """Seconds that 95 of 100 answers did not exceed."""
    return float(statistics.quantiles(found["times"], n=100)[94])


def started(site: Site, name: str) -> float:
    """Seconds from the start of the web process to its readiness, as systemd saw them, on a host that is drained."""
    unit = site.shell(name, "basename $(readlink /run/booking/current.sock) .sock").strip()
    said = site.shell(name, f"systemctl restart 'booking-web@{unit}' && systemctl show 'booking-web@{unit}' "
                            "-p ExecMainStartTimestampMonotonic -p ActiveEnterTimestampMonotonic")
    times = dict(line.split("=") for line in said.split())
    return (int(times["ActiveEnterTimestampMonotonic"]) - int(times["ExecMainStartTimestampMonotonic"])) / 1e6


def memory(site: Site, name: str) -> list[float]:
    """MiB of each worker process that serves: its proportional set size, proc_pid_smaps(5)."""
    unit = site.shell(name, "basename $(readlink /run/booking/current.sock) .sock").strip()
    rows = site.shell(name, f"main=$(systemctl show -p MainPID --value 'booking-web@{unit}'); "
                            "for p in $(pgrep -P $main); do grep ^Pss: /proc/$p/smaps_rollup; done").splitlines()
    return [int(row.split()[1]) / 1024 for row in rows]
