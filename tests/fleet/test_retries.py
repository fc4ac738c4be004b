"""What balancers do when a web server fails: who is asked again, and who must not be. The same for both engines."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator

import pytest

from deploy.inventory import Fleet
from lab import faults
from lab import host as machine
from lab.state import Lab
from tests.fleet.edges import Door
from tests.fleet.load import Load, describe, failures
from tests.fleet.site import Site

# A web server that says it is well, and ends every other request without an answer. It writes down what came.
STANDIN = """
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/readyz":
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with open("/run/standin", "a") as log:
            log.write(self.command + " " + self.path + chr(10))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.close_connection = True
        self.connection.close()
    do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_GET
    def log_message(self, *_): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    allow_reuse_address = True
Server(("", int(sys.argv[1])), Handler).serve_forever()
"""
REPEATED, ONCE = ("GET", "HEAD", "OPTIONS"), ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture
def broken_server(site: Site, fleet: Fleet) -> Iterator[str]:
    """The first web host has a server that ends requests without an answer."""
    web = site.web[0]
    port = fleet.value(web, "nginx_port")
    site.shell(
        web, "systemctl stop nginx.service; rm -f /run/standin; "
        f"systemd-run -q --unit=standin python3 -c '{STANDIN}' {port}"
    )
    yield web
    site.shell(web, "systemctl stop standin.service; rm -f /run/standin; systemctl start nginx.service")


def clients(fleet: Fleet, engine: str, rate: float) -> Load:
    """Clients whose POSTs may be repeated. nginx, which reloads to leave a server out, closes idle kept connections."""
    return Load(fleet, rate, keyed=True, reuse=engine == "haproxy")


@pytest.mark.parametrize("keyed", [False, True])
def test_what_can_be_repeated_is_and_nothing_else(
    engine: str, door: Door, site: Site, broken_server: str, keyed: bool
) -> None:
    """A POST is never repeated by a balancer unless it carries an Idempotency-Key, nor is a PUT, PATCH or DELETE."""
    for method in (*REPEATED, *ONCE):
        deadline = time.monotonic() + 40
        while True:
            mark = f"/{method}-{uuid.uuid4().hex}"
            headers = {"Idempotency_Key": uuid.uuid4().hex} if keyed else {}
            answer = door.ask(mark, method, b"{}" if method in ONCE else b"", **headers)
            count = int(site.shell(broken_server, f"grep -cF {mark} /run/standin || true") or 0)
            if count:
                break
            assert time.monotonic() < deadline, f"no {method} came to the stand-in within 40 s"
        assert count == 1, f"{method} came {count} times"
        if keyed or method in REPEATED:
            assert answer.status in (200, 301, 404, 405), f"{method}: {answer.status}, asked of another server"
        else:
            assert answer.status in (502, 503), f"{method}: {answer.status}"


def test_a_killed_web_server_loses_no_request_and_is_soon_out(
    engine: str, lab: Lab, site: Site, fleet: Fleet, door: Door, balancer_name: str
) -> None:
    web = site.web[0]
    with clients(fleet, engine, 30) as load:
        began = time.monotonic()
        site.shell(web, "systemctl kill -s KILL nginx.service; systemctl stop nginx.service")
        try:
            site.wait(lambda: states(site, balancer_name)[web] != "UP", f"{web} out of rotation", 10)
            out = time.monotonic() - began
            load.settle(2)
        finally:
            site.shell(web, "systemctl reset-failed nginx.service; systemctl start nginx.service")
        site.wait(lambda: states(site, balancer_name)[web] == "UP", f"{web} back in rotation", 20)
        load.settle(1)
    print(f"{engine}: out after {out:.2f} s, {len(load.results)} requests, {len(load.failures)} failed")
    assert not load.failures, describe(load.failures)
    assert out < 2.5


def test_a_killed_application_process_loses_no_request(
    engine: str, site: Site, fleet: Fleet, door: Door
) -> None:
    """gunicorn's master and its workers, at once: systemd starts them anew, and another host answers meanwhile."""
    web = site.web[0]
    with clients(fleet, engine, 30) as load:
        site.shell(web, "systemctl kill -s KILL 'booking-web@*.service'")
        load.settle(4)
    print(f"{engine}: {len(load.results)} requests, {len(load.failures)} failed")
    assert not load.failures, describe(load.failures)
    site.wait(lambda: site.serves(web), f"{web} serving again")


@pytest.mark.parametrize("how", ["cut off", "crashed"])
def test_a_web_host_that_is_gone_takes_at_most_what_was_in_flight(
    engine: str, lab: Lab, site: Site, fleet: Fleet, balancer_name: str, how: str
) -> None:
    """Cut off, it says nothing more, not even that it is gone."""
    web = site.web[0]
    gone, back = {"cut off": (faults.cut, faults.mend), "crashed": (machine.crash, machine.start)}[how]
    with clients(fleet, engine, 30) as load:
        load.settle(1)
        began = time.monotonic()
        gone(lab, site.host(web))
        ended = time.monotonic()
        try:
            site.wait(lambda: states(site, balancer_name)[web] != "UP", f"{web} out of rotation", 15)
            load.settle(3)
        finally:
            back(lab, site.host(web))
        site.wait(lambda: states(site, balancer_name)[web] == "UP", f"{web} back in rotation", 60)
    lost = failures(load.results)
    flying = [each for each in load.results if each.at <= ended and each.ended >= began]
    print(f"{engine}, {how}: {len(flying)} in flight of {len(load.results)} requests, {len(lost)} lost with the host")
    assert set(lost) <= set(flying), describe(each for each in lost if each not in flying)


def test_a_web_host_that_answers_late_takes_nobody_with_it(
    engine: str, site: Site, fleet: Fleet
) -> None:
    web = site.web[0]
    with clients(fleet, engine, 20) as load:
        site.shell(web, "systemctl kill -s STOP 'booking-web@*.service'")
        try:
            load.settle(2)
        finally:
            site.shell(web, "systemctl kill -s CONT 'booking-web@*.service'")
        load.settle(2)
    assert not load.failures, describe(load.failures)


def states(site: Site, name: str) -> dict[str, str]:
    """What a balancer says of each web server."""
    return dict(json.loads(site.inside(name, "booking-balancer", "status"))["servers"])
