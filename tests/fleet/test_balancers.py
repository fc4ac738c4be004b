"""The contract of a load balancer, the same for both engines; and the change from one to the other under load."""

from __future__ import annotations

import gzip
import json
import re
import ssl
import statistics
import time
import uuid
from collections.abc import Callable

import pytest

from deploy.inventory import Fleet
from lab.state import Lab
from tests.fleet.conftest import Done
from tests.fleet.edges import Answer, Balancers, Door, Knocking, doors, journal, metrics, p95, slow_clients
from tests.fleet.site import Site


def test_the_engine_changed_without_a_failed_connection(engine: str, balancers: Balancers, site: Site) -> None:
    clients = balancers.changes[engine]
    assert clients.errors == [], f"{len(clients.errors)} of {clients.count}: {clients.errors[:5]}"
    assert clients.count > 100
    other = {"nginx": "haproxy.service", "haproxy": "nginx.service"}[engine]
    for each in balancers.names:
        assert json.loads(site.inside(each, "booking-balancer", "status"))["engine"] == engine
        site.wait(lambda each=each: "inactive" in site.shell(each, f"systemctl is-active {other} || true"), other, 90)
        assert "enabled" not in site.shell(each, f"systemctl is-enabled {other} || true")


def test_second_run_with_this_engine_changes_nothing(engine: str, balancers: Balancers) -> None:
    said = balancers.converge(loadbalancer_engine=engine)
    assert set(re.findall(r"changed=(\d+)", said)) == {"0"}, [row for row in said.splitlines() if "changed:" in row]


def test_every_web_server_is_in_rotation_on_every_balancer(engine: str, balancers: Balancers, site: Site) -> None:
    for each in balancers.names:
        site.wait(
            lambda each=each: set(json.loads(site.inside(each, "booking-balancer", "status"))["servers"].items())
            == {(web, "UP") for web in site.web}, f"all web servers up on {each}",
        )


def test_both_families_are_served(engine: str, fleet: Fleet) -> None:
    for each in [*doors(fleet).values(), *doors(fleet, ipv6=True).values()]:
        assert each.ask().status == 200
        assert each.plain("/x").status == 301


def test_http_is_redirected_with_its_path_and_query(door: Door) -> None:
    answer = door.plain("/listings/?place=Nowhere")
    assert (answer.status, answer.headers["location"]) == (301, f"https://{door.domain}/listings/?place=Nowhere")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_protocols_are_spoken(door: Door, version: ssl.TLSVersion) -> None:
    context = door.context()
    context.minimum_version = context.maximum_version = version
    with door.connect(context=context) as connection:
        assert connection.version() == version.name.replace("_", ".")


def test_http2_is_spoken_where_the_client_can(door: Door) -> None:
    with door.connect("h2", "http/1.1") as connection:
        assert connection.selected_alpn_protocol() == "h2"
    with door.connect("http/1.1") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"


def test_browsers_are_told_to_come_by_https_only_by_answers_of_any_origin(door: Door) -> None:
    for path in ("/healthz", "/nowhere"):
        assert door.ask(path).headers["strict-transport-security"] == "max-age=63072000"


def test_the_clients_own_address_is_passed_on_and_not_what_it_says(door: Door, site: Site, lab: Lab) -> None:
    """The application sees who asks, whatever a client writes into the headers."""
    mark = f"/seen-{uuid.uuid4().hex}"
    door.ask(mark, X_Forwarded_For="192.0.2.66", X_Real_IP="192.0.2.66", Forwarded="for=192.0.2.66")
    (line,) = web_lines(site, mark)
    assert line["client"] == lab.topology.gateway4


def test_what_anybody_but_a_balancer_says_of_its_client_is_not_believed(site: Site, fleet: Fleet, door: Door) -> None:
    """The control of the test above: asked by the web host itself, past the balancers."""
    web, mark = site.web[0], f"/seen-{uuid.uuid4().hex}"
    port = fleet.value(web, "nginx_port")
    site.shell(web, f"curl -s -o /dev/null -H 'Host: {door.domain}' -H 'X-Request-Id: x' "
                    f"-H 'X-Forwarded-For: 192.0.2.66' http://127.0.0.1:{port}{mark}")
    (line,) = web_lines(site, mark)
    assert line["client"] == "127.0.0.1"


def web_lines(site: Site, mark: str) -> list[dict[str, object]]:
    """What the web servers have logged of a path, waited for."""
    script = f"journalctl -q --no-pager -o cat -t nginx --since -2min | grep -F {mark} || true"
    deadline = time.monotonic() + 10
    while not (rows := [row for web in site.web for row in site.shell(web, script).splitlines()]):
        assert time.monotonic() < deadline, f"no web server says anything of {mark}"
        time.sleep(0.1)
    return [json.loads(row) for row in rows]


def test_a_request_has_one_id_everywhere_and_it_is_not_the_clients(door: Door, site: Site, balancer_name: str) -> None:
    mark = f"/seen-{uuid.uuid4().hex}"
    given = door.ask(mark, X_Request_Id="mine").headers["x-request-id"]
    assert given != "mine"
    assert len(given) >= 32
    lines = [*web_lines(site, mark), *journal(site.shell, balancer_name, mark)]
    assert {str(line["request_id"]) for line in lines} == {given}
    assert door.ask(mark).headers["x-request-id"] != given


def test_the_access_log_is_json_without_what_a_log_should_not_hold(door: Door, site: Site, balancer_name: str) -> None:
    mark = uuid.uuid4().hex
    door.ask(f"/seen-{mark}?token=hidden-{mark}", Authorization=f"Bearer secret-{mark}", User_Agent='a"b\\c')
    (line,) = journal(site.shell, balancer_name, mark)
    assert (line["path"], line["method"], line["status"]) == (f"/seen-{mark}", "GET", 404)
    assert line["server"] in site.web
    assert line["agent"] == 'a"b\\c'
    assert isinstance(line["response_ms"], int)
    assert isinstance(line["total_ms"], int)
    assert line["total_ms"] + 1 >= line["response_ms"] >= 0, "each is rounded"
    assert line["release"]
    assert not re.search("hidden|secret", json.dumps(line))


def test_metrics_are_served_to_the_monitoring_host_alone(door: Door, site: Site, fleet: Fleet, engine: str) -> None:
    url = f"http://{door.address}:8405/metrics"
    watcher = fleet.need("monitoring")[0].name
    names = metrics(site.shell(watcher, f"curl -sf --max-time 5 {url}"))
    assert {"haproxy": "haproxy_frontend_http_requests_total", "nginx": "nginx_http_requests_total"}[engine] in names
    assert "refused" in site.shell("outside", f"curl -s --max-time 2 {url} || echo refused")


def test_what_can_be_compressed_is(door: Door) -> None:
    answer = door.ask("/", Accept_Encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in door.ask("/").headers
    assert gzip.decompress(unchunked(answer)).startswith(b"<!doctype html>")


def unchunked(answer: Answer) -> bytes:
    """The body without the marks of its chunks."""
    if answer.headers.get("transfer-encoding") != "chunked":
        return answer.body
    found, rest = b"", answer.body
    while (size := int(rest.partition(b"\r\n")[0], 16)):
        rest = rest.partition(b"\r\n")[2]
        found, rest = found + rest[:size], rest[size + 2 :]
    return found


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


def test_a_client_that_does_not_end_its_headers_is_let_go(door: Door, fleet: Fleet, balancer_name: str) -> None:
    limit = fleet.value(balancer_name, "loadbalancer_header_seconds")
    began = time.monotonic()
    with door.connect() as connection:
        connection.settimeout(limit + 10)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX-")
        while connection.recv(4096):
            pass
    assert limit - 1 < time.monotonic() - began < limit + 8


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


def test_maintenance_and_no_web_server_have_pages_of_their_own(
    door: Door, site: Site, fab: Callable[..., Done]
) -> None:
    assert fab("maintenance", "--on", "--retry-after", "7m").returncode == 0
    try:
        answer = door.ask("/")
        assert (answer.status, answer.headers["retry-after"]) == (503, "420")
        assert b"Maintenance" in answer.body
        assert answer.headers["content-type"].startswith("text/html")
        assert door.ask("/readyz").status == 200
    finally:
        assert fab("maintenance", "--off").returncode == 0
    assert door.ask("/").status == 200
    for web in site.web:
        site.shell(web, "systemctl stop nginx.service")
    try:
        site.wait(lambda: door.ask("/").status == 503, "503")
        answer = door.ask("/")
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert b"cannot answer just now" in answer.body
        assert answer.headers["x-request-id"]
        assert answer.headers["strict-transport-security"]
    finally:
        for web in site.web:
            site.shell(web, "systemctl start nginx.service")
    site.wait(lambda: door.ask("/").status == 200, "an answer again")


def test_fab_drain_ends_new_requests_on_every_balancer_within_a_second(
    engine: str, balancers: Balancers, site: Site, fab: Callable[..., Done]
) -> None:
    victim, seconds = site.web[-1], []
    for each in balancers.names:
        began = time.monotonic()
        site.inside(each, "booking-balancer", "drain", victim)
        seconds.append(time.monotonic() - began)
        site.inside(each, "booking-balancer", "undrain", victim)
    assert max(seconds) < 3, "its own figure is the bench's"
    done = fab("drain", victim)
    assert done.returncode == 0, done.stderr
    try:
        served = {each.ask("/readyz").headers["x-served-by"] for each in balancers.doors.values() for _ in range(12)}
        assert len(served) == len(site.web) - 1
        for each in balancers.names:
            assert json.loads(site.inside(each, "booking-balancer", "status"))["drained"] == [victim]
    finally:
        assert fab("undrain", victim).returncode == 0
    site.wait(lambda: len({door.ask("/readyz").headers["x-served-by"] for door in balancers.doors.values()
                           for _ in range(12)}) == len(site.web), "all web servers")


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


def test_five_hundred_slow_clients_leave_the_others_as_they_were(door: Door, engine: str) -> None:
    """Slowloris: others are served within twice the usual p95."""
    with Knocking(door, tasks=2) as clients:
        clients.wait_for(150)
        usual = p95(clients.seconds)
        with slow_clients(door, 500):
            before = len(clients.seconds)
            clients.wait_for(150)
        during = clients.seconds[before:]
    assert clients.errors == []
    print(f"{engine}: p95 {usual * 1000:.0f} ms usually, {p95(during) * 1000:.0f} ms beside 500 slow clients")
    assert p95(during) <= 2 * usual, f"median {statistics.median(during):.3f}"


def test_reloads_and_swaps_of_the_certificate_lose_no_new_connection(
    door: Door, site: Site, balancer_name: str, engine: str, soak: bool
) -> None:
    unit = f"{engine}.service"
    bundle = site.path(balancer_name, "/etc/loadbalancer/certs/site.pem").read_text()
    other = "\n".join(bundle.rsplit("\n", 2)) + "\n"  # the same certificate in a file that differs
    with Knocking(door) as clients:
        for turn in range(100 if soak else 4):
            site.shell(balancer_name, f"systemctl reload {unit}")
            if turn % 5 == 0:
                site.path(balancer_name, "/root/bundle.pem").write_text(other if turn % 10 else bundle)
                assert "changed" in site.shell(balancer_name, "booking-edge take-certificate < /root/bundle.pem")
            clients.wait_for(500 if soak else 40)
        site.shell(balancer_name, "rm -f /root/bundle.pem")
    print(f"{engine}: {clients.count} new connections, {len(clients.errors)} errors")
    assert clients.errors == [], f"{len(clients.errors)} of {clients.count}: {clients.errors[:5]}"


def test_a_restart_loses_connections(door: Door, site: Site, balancer_name: str, engine: str) -> None:
    """The control of the test above: the same clients notice when the balancer is taken away."""
    with Knocking(door) as clients:
        site.shell(balancer_name, f"systemctl kill -s KILL {engine}.service; systemctl restart {engine}.service")
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


def test_the_modern_profile_is_one_variable(door: Door, balancers: Balancers) -> None:
    """The last balancer has it; the first, which has not, is the control."""
    context = door.context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    door.connect(context=context).close()
    modern = balancers.doors[balancers.names[-1]]
    with pytest.raises(OSError, match=r"(?i)alert|eof|reset"):
        modern.connect(context=context)
    with modern.connect() as connection:
        assert connection.version() == "TLSv1.3"
