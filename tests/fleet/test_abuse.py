"""Clients that mean harm, or know no better: what a balancer of either engine refuses, limits and sits out."""

from __future__ import annotations

import json
import re
import statistics
import time
import uuid

import pytest

from deploy.inventory import Fleet
from tests.fleet.edges import Door, Knocking, doors, p95, parse, read_all, web_lines
from tests.fleet.harm import ask2, harming, is_open, slow_clients
from tests.fleet.site import Site

# Either engine waits 30 s for the next piece of a body; HAProxy has first waited for the whole, as for headers.
BODY_SECONDS = 40

def test_a_body_that_is_too_large_is_refused_before_it_is_sent(door: Door, fleet: Fleet, balancer_name: str) -> None:
    limit = fleet.value(balancer_name, "loadbalancer_body_max_kib") * 1024
    for length, status in ((limit + 1, 413), (1024, 404)):
        head = f"POST /nowhere HTTP/1.1\r\nHost: {door.domain}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        with door.connect() as connection:
            connection.sendall(head.encode() + (b"" if length > limit else b"x" * length))
            assert f" {status} ".encode() in connection.recv(4096).partition(b"\r\n")[0]


def test_headers_that_are_too_large_are_refused(door: Door) -> None:
    for extra in (f"X-Long: {'a' * 20000}", "\r\n".join(f"X-{n}: {'b' * 100}" for n in range(700))):
        said = door.say(f"GET /healthz HTTP/1.1\r\nHost: {door.domain}\r\n{extra}\r\n\r\n".encode())
        assert re.match(rb"HTTP/1\.1 4(00|14|31) ", said), said[:100]
    assert door.ask("/healthz", X_Long="a" * 4000).status == 200


def test_a_body_that_does_not_tell_its_length_is_limited_too(door: Door) -> None:
    """By the balancer or, where that passes pieces on, by the web server behind it."""
    head = f"POST /nowhere HTTP/1.1\r\nHost: {door.domain}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    for pieces, status in ((1, 404), (64, 413)):
        said = door.say(head.encode() + pieces * piece + b"0\r\n\r\n")
        assert parse(said).status == status, said[:200]


def test_a_client_that_does_not_end_its_headers_or_its_body_is_let_go(
    door: Door, fleet: Fleet, balancer_name: str
) -> None:
    limit = fleet.value(balancer_name, "loadbalancer_header_seconds")
    begun = f"POST /nowhere HTTP/1.1\r\nHost: {door.domain}\r\nContent-Length: 10\r\n"
    began = time.monotonic()
    with door.connect() as headers, door.connect() as body:
        headers.sendall(begun.encode() + b"X-")
        body.sendall(begun.encode() + b"\r\n{")
        for connection, least, most in ((headers, limit - 1, limit + 8), (body, limit - 1, BODY_SECONDS + 8)):
            connection.settimeout(most)
            said = read_all(connection)
            assert said == b"" or said.startswith(b"HTTP/1.1 408 "), said[:200]
            assert least < time.monotonic() - began < most


LIMITED = """
import http.client, json, ssl, sys
address, domain, path, method, count = *sys.argv[1:5], int(sys.argv[5])
context = ssl._create_unverified_context()
found, retry = [], None
headers = {"Host": domain} | ({"Content-Length": "0"} if method == "POST" else {})
literal = "[" + address + "]" if ":" in address else address
connection = http.client.HTTPSConnection(literal, context=context, timeout=20)
for _ in range(count):
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.read()
    except (http.client.HTTPException, OSError):
        connection.close()
        continue
    found.append(answer.status)
    if answer.status == 429:
        retry = answer.headers["Retry-After"]
    if answer.will_close:
        connection.close()
print(json.dumps({"found": found, "retry": retry}))
"""


def hammered(site: Site, address: str, door: Door, path: str, method: str, count: int) -> dict[str, object]:
    """What *count* requests of the host `outside` got."""
    done = site.inside("outside", "python3", "-c", LIMITED, address, door.domain, path, method, str(count))
    return dict(json.loads(done))


def test_an_address_is_limited_and_its_logins_stricter_and_others_are_not(
    door: Door, site: Site, fleet: Fleet, balancer_name: str, engine: str
) -> None:
    """What `429 Retry-After` says to one address says nothing to another: IPv6 is asked last, and served."""
    strict = fleet.value(balancer_name, "loadbalancer_logins_per_minute")
    said = hammered(site, door.address, door, "/api/v1/token/", "POST", 2 * strict)
    found = said["found"]
    assert isinstance(found, list)
    assert found.count(429) >= strict // 2 - 2, found
    assert strict <= len(found) - found.count(429) <= strict * 3 // 2 + 2, found
    assert said["retry"] == "60"
    assert hammered(site, door.address, door, "/healthz", "GET", 1)["found"] == [200], "other pages are served"
    limit = fleet.value(balancer_name, "loadbalancer_requests_per_minute")
    found = hammered(site, door.address, door, "/healthz", "GET", 2 * limit)["found"]
    assert isinstance(found, list)
    assert 429 in found
    assert found.count(200) >= limit // 2
    second = doors(fleet, ipv6=True)[balancer_name]
    assert hammered(site, second.address, second, "/healthz", "GET", 1)["found"] == [200], "another address"
    assert door.ask().status == 200, "an exempted network"


@pytest.mark.parametrize("spoilt", [
    b"GET / HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: {}\r\nContent-Length: -5\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: {}\r\nX: a\r\n\x00: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : {}\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"G\x01T / HTTP/1.1\r\nHost: {}\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: {}\r\n\r\n",
    b"\x16\x03\x01\x02",
    b"POST /nowhere HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n",
])  # fmt: skip
def test_a_malformed_request_is_refused_and_the_connection_closed(door: Door, spoilt: bytes) -> None:
    said = door.say(spoilt.replace(b"{}", door.domain.encode()) + b"\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] (400|405|413|501|505) ", said) or said == b"", said[:200]
    # That the empty lines after it were no request, it may say as well.
    assert said.count(b"HTTP/1.") - said.count(b"HTTP/1.1 408 ") <= 1, "one answer at most"
    assert door.ask().status == 200


def test_conflicting_lengths_smuggle_nothing(door: Door, site: Site) -> None:
    """A request within a body, for one of two lengths: no web server may take it for a request (RFC 9112, 6.1)."""
    mark = f"smuggled-{uuid.uuid4().hex}"
    inner = f"GET /{mark} HTTP/1.1\r\nHost: {door.domain}\r\n\r\n"
    body = f"0\r\n\r\n{inner}"
    for head in (
        f"Content-Length: {len(body)}\r\nTransfer-Encoding: chunked",
        f"Transfer-Encoding: chunked\r\nContent-Length: {len(body)}",
        f"Content-Length: {len(body)}\r\nTransfer-Encoding:\tchunked",
        f"Content-Length: {len(body)}\r\nTransfer-Encoding: identity, chunked",
    ):
        said = door.say(f"POST /nowhere HTTP/1.1\r\nHost: {door.domain}\r\n{head}\r\n\r\n{body}".encode())
        assert said.count(b"HTTP/1.1") <= 1, said[:300]
    door.ask(f"/after-{mark}")
    assert {str(line["uri"]) for line in web_lines(site, mark)} == {f"/after-{mark}"}


@pytest.mark.parametrize("spoilt", [
    pytest.param({"x-a": "b\r\n\r\n{inner}"}, id="a request in a header"),
    pytest.param({"transfer-encoding": "chunked"}, id="a body in pieces"),
    pytest.param({"content-length": "0"}, id="a body that is longer than it says"),
    pytest.param({":path": "/nowhere HTTP/1.1\r\nHost: x\r\n\r\n{inner}"}, id="a request in the path"),
    pytest.param({":method": "GET /{mark} HTTP/1.1\r\nHost: x\r\n\r\nGET"}, id="a request in the method"),
])  # fmt: skip
def test_nothing_is_smuggled_by_http2(door: Door, site: Site, spoilt: dict[str, str]) -> None:
    """What is no request in HTTP/2 could become two in the HTTP/1.1 that web servers are spoken to (RFC 9113, 10.3)."""
    mark = f"smuggled-{uuid.uuid4().hex}"
    inner = f"GET /{mark} HTTP/1.1\r\nHost: {door.domain}\r\n\r\n"
    body = f"0\r\n\r\n{inner}".encode()
    given = {name: value.replace("{inner}", inner).replace("{mark}", mark) for name, value in spoilt.items()}
    assert ask2(door, {":method": "POST", ":path": f"/before-{mark}"}, body) == 404, "the control"
    # 404: taken for the one request that it says it is
    assert ask2(door, {":method": "POST", ":path": "/nowhere"} | given, body) in (0, 400, 404)
    door.ask(f"/after-{mark}")
    assert {str(line["uri"]) for line in web_lines(site, mark, 2)} == {f"/before-{mark}", f"/after-{mark}"}


HARM = {
    "malformed requests": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "conflicting lengths": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "oversized headers": b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 60000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("harm", [*HARM, "500 slow clients"])
def test_others_are_served_within_twice_their_usual_time(door: Door, engine: str, harm: str) -> None:
    """The median of three turns, each against what was usual just before: other things happen to two cores, too."""
    turns = []
    with Knocking([door], tasks=2) as clients:
        for _ in range(3):
            usual = p95(measured(clients))
            with harming(door, HARM[harm]) if harm in HARM else slow_clients(door, 500) as held:
                turns.append((usual, p95(measured(clients))))
                assert all(is_open(each) for each in held), "the slow ones have been there all the time"
    assert clients.errors == []
    told = ", ".join(f"{usual * 1000:.0f} and {during * 1000:.0f}" for usual, during in turns)
    print(f"{engine}: p95 usually and beside {harm} (ms): {told}")
    assert statistics.median(during / usual for usual, during in turns) <= 2, told


def measured(clients: Knocking) -> list[float]:
    """How long the next 150 connections take."""
    before = len(clients.seconds)
    clients.wait_for(150)
    return clients.seconds[before:]
