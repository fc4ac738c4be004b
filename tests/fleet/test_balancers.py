"""The contract of a load balancer, the same for both engines; and the change from one to the other under load."""

from __future__ import annotations

import gzip
import json
import re
import ssl
import uuid
from collections.abc import Callable
from dataclasses import replace

import pytest

from deploy.inventory import Fleet
from lab.state import Lab
from tests.fleet.balancers import Balancers
from tests.fleet.conftest import Done
from tests.fleet.edges import Answer, Door, doors, journal, metrics, web_lines
from tests.fleet.load import describe
from tests.fleet.site import Site


def test_the_engine_changed_without_a_failed_request(engine: str, balancers: Balancers, site: Site) -> None:
    """To both balancers by both families, and by the address that clients come by: bookings among them."""
    change = balancers.changes[engine]
    print(f"{engine}: {change.clients.count} new connections, {len(change.load.results)} requests while it changed")
    errors = change.clients.errors
    assert errors == [], f"{len(errors)} of {change.clients.count}: {errors[:5]}"
    assert change.clients.count > 100
    assert not change.load.failures, describe(change.load.failures)
    other = {"nginx": "haproxy.service", "haproxy": "nginx.service"}[engine]
    for each in balancers.names:
        assert json.loads(site.inside(each, "booking-balancer", "status"))["engine"] == engine
        site.wait(lambda each=each: "inactive" in site.shell(each, f"systemctl is-active {other} || true"), other, 90)
        assert "enabled" not in site.shell(each, f"systemctl is-enabled {other} || true")


def test_second_run_with_this_engine_changes_nothing(engine: str, balancers: Balancers) -> None:
    said = balancers.converge(loadbalancer_engine=engine)
    assert set(re.findall(r"changed=(\d+)", said)) == {"0"}, [row for row in said.splitlines() if "changed:" in row]


def test_what_watches_the_web_servers_for_nginx_runs_in_a_sandbox(
    engine: str, balancers: Balancers, site: Site
) -> None:
    """HAProxy asks them itself."""
    for each in balancers.names:
        said = site.shell(each, "systemctl is-active booking-balancer-watch.service || true").strip()
        assert (said == "active") == (engine == "nginx")
        if engine == "nginx":
            said = site.shell(each, "systemd-analyze security --no-pager booking-balancer-watch.service")
            found = re.search(r"exposure level for .*: ([\d.]+)", said)
            assert found
            assert float(found[1]) <= 2.0


def test_every_web_server_is_in_rotation_on_every_balancer(engine: str, balancers: Balancers, site: Site) -> None:
    for each in balancers.names:
        site.wait(
            lambda each=each: set(json.loads(site.inside(each, "booking-balancer", "status"))["servers"].items())
            == {(web, "UP") for web in site.web}, f"all web servers up on {each}",
        )


def test_every_name_of_the_service_is_answered(door: Door, fleet: Fleet, balancer_name: str) -> None:
    names = fleet.value(balancer_name, "loadbalancer_extra_domains")
    assert names
    for name in names:
        assert replace(door, domain=name).ask("/").status == 200


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


def test_a_request_by_http2_is_answered_by_it(door: Door, site: Site) -> None:
    mark = f"/seen-{uuid.uuid4().hex}"
    curl = (f"curl -sk -o /dev/null -w '%{{http_version}} %{{http_code}}' --resolve {door.domain}:443:{door.address} "
            f"https://{door.domain}{mark} -d '{{}}' -H 'Expect:'")
    assert site.shell("outside", f"{curl} --http2") == "2 404"
    assert site.shell("outside", f"{curl} --http1.1") == "1.1 404"
    assert [line["status"] for line in web_lines(site, mark, 2)] == [404, 404]


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


def test_fab_drain_ends_new_requests_on_every_balancer(
    engine: str, balancers: Balancers, site: Site, fab: Callable[..., Done]
) -> None:
    """How soon it does is the bench's to say."""
    victim = site.web[-1]
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
