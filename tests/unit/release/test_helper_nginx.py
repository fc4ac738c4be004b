"""The balancer's helpers with nginx: what is wanted becomes files that its workers have read before an act ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .haproxy import FILES, Host

MASTER = 77
UPSTREAM = "var/lib/booking-balancer/nginx/upstream.conf"


class FakeNginx:
    """Workers that tell the generation of the files that they have read, and have read them at a reload alone."""

    def __init__(self, host: Host) -> None:
        self.host, self.told, self.controlled = host, "", list[tuple[object, ...]]()
        self.deaf, self.master = False, MASTER

    def control(self, *words: str) -> None:
        self.controlled.append(words)

    def kill(self, process: int, number: int) -> None:
        self.controlled.append((process, number))
        if process == self.master and not self.deaf:
            self.told = self.host.modules["nginx"].generation(self.host.layout)


@pytest.fixture
def host(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.syspath_prepend(str(FILES))
    found = Host(short_path)
    found.configure(engine="nginx")
    site = found.root / found.modules["nginx"].SITE
    site.parent.mkdir(parents=True)
    site.write_text("")
    found.layout.health.parent.mkdir(parents=True)
    monkeypatch.setattr(found.modules["nginx"], "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(found.modules["units"], "state", lambda _: "active")
    return found


@pytest.fixture
def nginx(host: Host, monkeypatch: pytest.MonkeyPatch) -> FakeNginx:
    fake = FakeNginx(host)
    monkeypatch.setattr(host.modules["nginx"], "asked", lambda: fake.told)
    monkeypatch.setattr(host.modules["units"], "control", fake.control)
    monkeypatch.setattr(host.modules["nginx"], "master", lambda _: fake.master)
    monkeypatch.setattr(host.modules["nginx"].os, "kill", fake.kill)
    assert host.edge("refresh") == (0, "changed")
    fake.kill(fake.master, signal.SIGHUP)
    fake.controlled.clear()
    return fake


def rows(host: Host) -> dict[str, bool]:
    """Address of each server -> whether nginx is to leave it out."""
    lines = (host.root / UPSTREAM).read_text().splitlines()
    return {line.split()[1]: line.endswith(" down;") for line in lines}


def test_a_fresh_balancer_drains_nobody(host: Host, nginx: FakeNginx) -> None:
    assert host.call("status") == (0, {
        "engine": "nginx", "drained": [], "maintenance": {"on": False, "retry_after": 0, "since": None},
        "servers": {"web1": "UP", "web2": "UP", "web3": "UP"},
    })  # fmt: skip
    assert rows(host) == {"192.0.2.1:8080": False, "[2001:db8::2]:8080": False, "192.0.2.3:8081": False}
    assert nginx.controlled == []


def test_a_drain_is_in_force_when_the_act_ends(host: Host, nginx: FakeNginx) -> None:
    code, answer = host.call("drain", "web2")
    assert (code, answer["drained"], answer["servers"]["web2"]) == (0, ["web2"], "DRAIN")
    assert rows(host)["[2001:db8::2]:8080"]
    assert nginx.controlled == [(MASTER, signal.SIGHUP)]
    code, answer = host.call("undrain", "web2")
    assert (code, answer["drained"], answer["servers"]["web2"]) == (0, [], "UP")


def test_what_changes_nothing_reloads_nothing(host: Host, nginx: FakeNginx) -> None:
    host.call("undrain", "web1")
    host.call("maintenance", "off")
    assert (host.edge("refresh"), nginx.controlled) == ((0, "unchanged"), [])


def test_a_reload_that_nginx_refuses_is_an_error_that_says_what_holds(host: Host, nginx: FakeNginx) -> None:
    nginx.deaf = True
    code, answer = host.call("drain", "web2")
    assert code == 1
    assert answer["error"]["what"].startswith("written down, but the running nginx did not take it")
    nginx.deaf = False
    assert host.call("drain", "web2")[0] == 0, "the next act completes it"
    assert nginx.told == host.modules["nginx"].generation(host.layout)


def test_one_that_is_killed_meanwhile_is_followed_by_another_that_is_told_too(
    host: Host, nginx: FakeNginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What starts in its place may have read the files before they changed."""
    masters = iter([MASTER, 0, 78])

    def gone(process: int, number: int) -> None:
        if process == MASTER:
            raise ProcessLookupError
        nginx.master = 78
        nginx.kill(process, number)

    monkeypatch.setattr(host.modules["nginx"], "master", lambda _: next(masters, 78))
    monkeypatch.setattr(host.modules["nginx"].os, "kill", gone)
    assert host.call("drain", "web2")[0] == 0
    assert nginx.controlled == [(78, signal.SIGHUP)]


def test_a_process_that_only_has_the_number_of_an_ended_nginx_gets_no_signal(host: Host) -> None:
    path = host.root / host.modules["nginx"].PID
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{os.getpid()}\n")
    assert host.modules["nginx"].master(host.layout) == 0
    path.unlink()
    assert host.modules["nginx"].master(host.layout) == 0


def test_a_worker_that_still_takes_requests_is_waited_for(
    host: Host, nginx: FakeNginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not read the files: what it takes may go to the drained host."""
    asked = iter([True, True, False])
    monkeypatch.setattr(host.modules["nginx"], "workers", lambda _: [77])
    monkeypatch.setattr(host.modules["nginx"], "takes_requests", lambda _: next(asked))
    assert host.call("drain", "web2")[0] == 0
    assert next(asked, "waited") == "waited"


def test_one_that_does_not_run_reads_it_at_its_start(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.modules["units"], "state", lambda _: "inactive")
    code, answer = host.call("drain", "web2")
    assert (code, answer["drained"], answer["servers"]) == (0, ["web2"], {})
    assert rows(host)["[2001:db8::2]:8080"]


def test_maintenance_is_the_seconds_that_clients_are_told(host: Host, nginx: FakeNginx) -> None:
    path = host.root / "var/lib/booking-balancer/nginx/maintenance.conf"
    host.call("maintenance", "on", "--retry-after", "600")
    assert path.read_text() == "default 600;\n"
    host.call("maintenance", "off")
    assert path.read_text() == "default 0;\n"


def test_drains_go_with_a_change_of_engine(host: Host, nginx: FakeNginx) -> None:
    host.call("drain", "web2")
    host.configure(engine="haproxy")
    host.edge("refresh")
    assert " web2 " in host.layout.server_state.read_text()


def test_what_the_watch_finds_sick_is_left_out_and_drains_stay(host: Host, nginx: FakeNginx) -> None:
    watch, state = host.modules["watch"], host.modules["state"]
    found = {name: watch.Health() for name in ("web1", "web2", "web3")}
    host.call("drain", "web3")
    found["web1"].hear(False)
    assert found["web1"].hear(False), "two failures"
    watch.tell(host.layout, state.load(host.layout), found)
    assert host.call("status")[1]["servers"] == {"web1": "DOWN", "web2": "UP", "web3": "DRAIN"}
    assert not found["web1"].hear(True)
    assert found["web1"].hear(True), "two answers"
    watch.tell(host.layout, state.load(host.layout), found)
    assert host.call("status")[1]["servers"] == {"web1": "UP", "web2": "UP", "web3": "DRAIN"}


def test_one_failure_between_answers_takes_nobody_out(host: Host) -> None:
    health = host.modules["watch"].Health()
    assert not any(health.hear(fine) for fine in [True, False, True, False, True])
    assert health.up


def test_the_accounts_thumbprint_is_answered_from_then_on(host: Host, nginx: FakeNginx) -> None:
    path = host.root / "var/lib/booking-balancer/nginx/account.conf"
    print_ = "B" * 43
    assert [host.edge("account", print_), host.edge("account", print_)] == [(0, "changed"), (0, "unchanged")]
    assert path.read_text() == f'default "{print_}";\n'
    assert len(nginx.controlled) == 1
    code, said = host.edge("account", 'x"; evil')
    assert (code, "not the thumbprint" in said) == (2, True)


def test_a_check_tells_whether_an_account_would_be_answered_for_and_changes_nothing(
    host: Host, nginx: FakeNginx
) -> None:
    print_ = "B" * 43
    assert host.edge("account") == (0, "")
    assert host.edge("--check", "account", print_) == (0, "changed")
    assert (host.edge("account"), nginx.controlled) == ((0, ""), [])
    host.edge("account", print_)
    assert host.edge("--check", "account", print_) == (0, "unchanged")
    assert host.edge("account") == (0, print_)
    assert host.edge("--check", "account", "x")[0] == 2


def test_a_check_tells_whether_what_the_engine_reads_would_change(host: Host, nginx: FakeNginx) -> None:
    assert host.edge("--check", "refresh") == (0, "unchanged")
    upstream = host.root / UPSTREAM
    upstream.write_text("by hand")
    assert host.edge("--check", "refresh") == (0, "changed")
    assert upstream.read_text() == "by hand"
    assert host.edge("refresh") == (0, "changed")
    host.layout.bundle.unlink()
    assert host.edge("--check", "refresh") == (0, "changed")
    assert not host.layout.bundle.exists()
    assert [host.edge("refresh"), host.edge("--check", "refresh")] == [(0, "changed"), (0, "unchanged")]


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., str]:
    """A certificate for some names with its key, as one PEM text."""

    def make(*names: str) -> str:
        key, cert = tmp_path / "key", tmp_path / "cert"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "30", "-subj", "/CN=x", "-addext", f"subjectAltName={','.join('DNS:' + name for name in names)}",
             "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True,
        )  # fmt: skip
        return cert.read_text() + key.read_text()

    return make


def test_a_bundle_is_taken_once_and_is_readable_by_root_alone(
    host: Host, nginx: FakeNginx, bundle: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = host.modules["certificate"]
    monkeypatch.setattr(certificate, "served", lambda _: certificate.describe(host.layout.bundle.read_text()))
    text = bundle("www.example.org", "other.example.org")
    assert host.edge("take-certificate", stdin=text) == (0, "changed")
    assert host.layout.bundle.read_text() == text
    assert host.layout.bundle.stat().st_mode & 0o777 == 0o600
    assert nginx.controlled == [(MASTER, signal.SIGHUP)]
    assert host.edge("take-certificate", stdin=text) == (0, "unchanged")
    assert len(nginx.controlled) == 1
    code, said = host.edge("certificate")
    assert (code, json.loads(said)["names"]) == (0, ["other.example.org", "www.example.org"])


def test_a_bundle_on_disk_that_is_not_served_yet_is_put_into_force(
    host: Host, nginx: FakeNginx, bundle: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = bundle("www.example.org")
    host.layout.bundle.write_text(text)
    monkeypatch.setattr(host.modules["certificate"], "served", lambda _: {"serial": "another"})
    assert host.edge("take-certificate", stdin=text) == (0, "changed")
    assert nginx.controlled == [(MASTER, signal.SIGHUP)]


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda text: "", "not a bundle"),
    (lambda text: "#!/bin/sh\nreboot\n", "not a bundle"),
    (lambda text: text + "ssl_certificate /etc/shadow;", "not a bundle"),
    (lambda text: text.partition("-----BEGIN PRIVATE")[0], "one key"),
    (lambda text: "-----BEGIN PRIVATE" + text.partition("-----BEGIN PRIVATE")[2], "one key"),
    (lambda text: text.replace("a", "b"), "openssl"),
])  # fmt: skip
def test_what_is_no_bundle_is_refused_and_what_was_there_stays(
    host: Host, nginx: FakeNginx, bundle: Callable[..., str], spoil: Callable[[str], str], said: str
) -> None:
    host.layout.bundle.write_text("before")
    code, answer = host.edge("take-certificate", stdin=spoil(bundle("www.example.org")))
    assert (code, said in answer) == (2, True), answer
    assert host.layout.bundle.read_text() == "before"
    assert nginx.controlled == []


def test_a_certificate_for_other_names_or_with_anothers_key_is_refused(
    host: Host, nginx: FakeNginx, bundle: Callable[..., str]
) -> None:
    assert host.edge("take-certificate", stdin=bundle("evil.example.net"))[0] == 2
    one, other = bundle("www.example.org"), bundle("www.example.org")
    mixed = one.partition("-----BEGIN PRIVATE")[0] + "-----BEGIN PRIVATE" + other.partition("-----BEGIN PRIVATE")[2]
    code, said = host.edge("take-certificate", stdin=mixed)
    assert (code, "key of this bundle" in said) == (2, True)
    assert host.edge("take-certificate", stdin=bundle("*.example.org"))[0] == 0


def test_an_unknown_act_is_refused_with_those_that_there_are(host: Host) -> None:
    for argv in ([], ["evil"], ["refresh", "now"], ["--check"], ["--check", "take-certificate"]):
        code, said = host.edge(*argv)
        assert (code, "usage: booking-edge" in said) == (2, True)
