"""Reloads of a balancer, swaps and renewals of its certificate: nobody notices. The same for both engines."""

from __future__ import annotations

import time

from deploy.inventory import Fleet
from tests.fleet.balancers import Balancers
from tests.fleet.certificates import Certificates
from tests.fleet.edges import Door, Knocking, parse
from tests.fleet.site import Site

BUNDLE, SPARE = "/etc/loadbalancer/certs/site.pem", "/root/spare.pem"


def swap(site: Site, name: str) -> None:
    """Have a balancer take the same certificate in a file that differs: with an empty line at its end, or without."""
    bundle, spare = (site.path(name, path) for path in (BUNDLE, SPARE))
    text = bundle.read_text()
    spare.write_text(f"{text.rstrip()}\n" if text.endswith("\n\n") else f"{text.rstrip()}\n\n")
    try:
        said = site.shell(name, f"booking-edge take-certificate < {SPARE}")
    finally:
        spare.unlink()
    assert said.strip() == "changed"


def test_reloads_swaps_and_renewals_of_the_certificate_lose_no_new_connection(
    balancers: Balancers, site: Site, fleet: Fleet, engine: str, soak: bool
) -> None:
    """Counts of the soak: 100 reloads of each balancer, 20 swaps, 20 renewals, 50,000 connections."""
    certificates, reloads, serials = Certificates(site, fleet), 100 if soak else 4, set()
    with Knocking(balancers.every_door()) as clients:
        for turn in range(reloads):
            for each in balancers.names:
                site.shell(each, f"systemctl reload {engine}.service")
                if turn % 5 == 0:
                    swap(site, each)
            if turn % 5 == 2:
                certificates.renew()
                site.wait(lambda: len(certificates.serials()) == 1, "one certificate on all balancers")
                serials |= certificates.serials()
            clients.wait_for(500 if soak else 40)
    print(f"{engine}: {reloads} reloads, {-(-reloads // 5)} swaps, {len(serials)} renewals, "
          f"{clients.count} new connections, {len(clients.errors)} errors")
    assert clients.errors == [], f"{len(clients.errors)} of {clients.count}: {clients.errors[:5]}"
    assert serials <= clients.serials, "clients have met what was renewed"


def test_a_swap_of_the_certificate_ends_no_connection_in_use(
    door: Door, site: Site, balancer_name: str, engine: str
) -> None:
    """A request of which half has come is answered by whoever has it. HAProxy, which needs no reload, then goes on with
    the same connection; nginx lets the client come anew, and says so."""
    head = f"POST /nowhere HTTP/1.1\r\nHost: {door.domain}\r\nContent-Length: 4\r\n\r\n".encode()
    with door.connect("http/1.1") as connection:
        for turn in range(2):
            connection.sendall(head + b"{ ")
            swap(site, balancer_name)
            connection.sendall(b" }")
            answer = parse(connection.recv(65536))
            assert answer.status == 404, turn
            if engine == "nginx":
                assert answer.headers["connection"] == "close"
                break


def test_a_restart_loses_connections(door: Door, site: Site, balancer_name: str, engine: str) -> None:
    """The control of the test above: the same clients notice when the balancer is taken away."""
    with Knocking([door]) as clients:
        site.shell(balancer_name, f"systemctl restart {engine}.service")
        clients.wait_for(100)
    assert clients.errors
    deadline = time.monotonic() + 30
    while True:
        try:
            assert door.ask("/readyz").status == 200
            return
        except (OSError, AssertionError):
            assert time.monotonic() < deadline
            time.sleep(0.2)
