"""What the balancers' access log holds, and what is counted from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.release import probe
from deploy.specs import ROOT, tree

from .haproxy import FILES, Host


@pytest.fixture
def host(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.syspath_prepend(str(FILES))
    return Host(short_path)


def line(server: str = "web1", status: int = 200, ms: int = 5, **more: Any) -> bytes:
    entry = {"server": server, "status": status, "response_ms": ms, "total_ms": ms, "path": "/x", "agent": "curl"}
    return json.dumps(entry | more).encode() + b"\n"


def test_traffic_is_counted_by_server_with_what_failed_and_how_long_it_took(host: Host) -> None:
    lines = [*(line("web1", ms=i) for i in range(1, 101)), line("web2", 503, 7), line("web2", 404, 9)]
    assert host.modules["traffic"].count(["web1", "web2", "web3"], lines) == {
        "web1": {"requests": 100, "errors": 0, "p50_ms": 50, "p95_ms": 95},
        "web2": {"requests": 2, "errors": 1, "p50_ms": 7, "p95_ms": 9},
        "web3": {"requests": 0, "errors": 0, "p50_ms": None, "p95_ms": None},
    }


def test_an_answer_that_never_began_took_as_long_as_it_was_waited_for(host: Host) -> None:
    counted = host.modules["traffic"].count(["web1"], [line(status=504, ms=-1, total_ms=35000)])
    assert counted["web1"] == {"requests": 1, "errors": 1, "p50_ms": 35000, "p95_ms": 35000}


def test_what_is_no_request_of_a_client_is_passed_over(host: Host) -> None:
    others = [
        line("<NOSRV>", 503), line("db1", 503), line(path="/readyz", status=503), line(path="/healthz", status=503),
        line(agent=probe.AGENT, status=500), b"Server web/web1 is DOWN, reason: Layer4 timeout\n", b"{}\n", b"{\n",
        b"\n", b'{"server": ["web1"]}\n', line()[:-9] + b"\n",
    ]  # fmt: skip
    counted = host.modules["traffic"].count(["web1"], [*others, line(agent="caf\u00e9")])
    assert counted["web1"]["requests"] == 1
    assert counted["web1"]["errors"] == 0


@pytest.mark.parametrize(("code", "said"), [(0, None), (1, "the journal cannot be read: no such unit")])
def test_the_journal_is_asked_for_haproxys_lines_between_two_times(
    host: Host, monkeypatch: pytest.MonkeyPatch, code: int, said: str | None
) -> None:
    tools = host.root / "bin"
    tools.mkdir()
    script = f'#!/bin/sh\necho "$@" > {tools}/asked\ncat {tools}/lines\necho no such unit >&2\nexit {code}\n'
    (tools / "journalctl").write_text(script)
    (tools / "journalctl").chmod(0o755)
    (tools / "lines").write_bytes(line() + line(server="web2", status=500))
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    done, answer = host.call("traffic", "--since", "1795241097.25", "--until", "1795241100")
    asked = (tools / "asked").read_text()
    assert "--output cat --identifier loadbalancer --since @1795241097.250000 --until @1795241100.000000" in asked
    if said:
        assert (done, answer["error"]["what"]) == (1, said)
    else:
        assert [answer["servers"][name]["requests"] for name in ("web1", "web2", "web3")] == [1, 1, 0]
        assert answer["servers"]["web2"]["errors"] == 1


TEMPLATES = {
    "haproxy": ROOT / "templates/etc/haproxy/haproxy.cfg.j2",
    "nginx": ROOT / "templates/etc/nginx/sites-enabled/loadbalancer.j2",
}
READ = {"server", "status", "response_ms", "total_ms", "path", "agent"}


def test_haproxy_reads_what_the_helper_writes(host: Host) -> None:
    template = TEMPLATES["haproxy"].read_text()
    haproxy, traffic = host.modules["haproxy"], host.modules["traffic"]
    real = host.modules["state"].Layout()
    assert f"server-state-file {real.server_state}" in template
    assert [str(real.maintenance), str(real.account), str(real.bundle)] == [
        haproxy.MAP, haproxy.ACCOUNT_MAP, haproxy.BUNDLE
    ]
    for path in (haproxy.MAP, haproxy.ACCOUNT_MAP):
        assert f"map({path})" in template
    assert f"crt {haproxy.BUNDLE} " in template
    assert f"stats socket {real.socket} " in template
    assert re.search(
        rf"^backend {haproxy.BACKEND}$.*load-server-state-from-file global", template, re.MULTILINE | re.DOTALL
    )
    assert set(re.findall(r"%\((\w+)(?::sint)?\)", template)) >= READ, "what traffic() reads is in the log"
    assert "log-tag loadbalancer" in template
    assert traffic.PROBE_AGENT == probe.AGENT


def test_nginx_reads_what_the_helper_writes(host: Host) -> None:
    template = TEMPLATES["nginx"].read_text()
    nginx, real = host.modules["nginx"], host.modules["state"].Layout()
    for name in ("upstream", "maintenance", "account", "generation"):
        assert f"include {real.nginx}/{name}.conf;" in template
    assert f"ssl_certificate {real.bundle};" in template
    assert f"listen {nginx.STATUS_ADDRESS}:{nginx.STATUS_PORT};" in template
    assert set(re.findall(r'"(\w+)":', template)) >= READ, "what traffic() reads is in the log"
    assert "tag=loadbalancer" in template


def test_both_engines_limit_the_same_with_the_same_variables() -> None:
    options = set(tree().role("loadbalancer").options) - {"loadbalancer_packages", "loadbalancer_engine"}
    used = {name: {each for each in options if each in path.read_text()} for name, path in TEMPLATES.items()}
    assert used["haproxy"] == options
    assert used["nginx"] == options - {"loadbalancer_check_interval_ms"}, "booking-edge watch asks for health there"


def test_the_access_log_holds_no_query_string_and_no_credentials() -> None:
    template = (ROOT / "templates/etc/haproxy/haproxy.cfg.j2").read_text()
    captured = re.findall(r"capture (request|response) header (\S+)", template)
    assert captured == [("request", "User-Agent"), ("response", "X-Release-Id")]
    logged = re.search(r'log-format "(.*)"', template)
    assert logged
    used = set(re.findall(r"(?<=\))[a-zA-Z]+", logged[1])) - {"o"}
    assert used <= {"ID", "ci", "f", "s", "HM", "HPO", "ST", "TR", "Tw", "Tc", "Tr", "Ta", "B", "rc", "ts"}
    assert "%r" not in used, "the request line would hold the query"
