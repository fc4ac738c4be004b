"""The balancer's helper: what it is told stays so, whatever happens to HAProxy; what it is not told it does not do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .haproxy import DRAIN, FILES, MAINT, SERVERS, FakeHaproxy, Host, running


@pytest.fixture
def host(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.syspath_prepend(str(FILES))
    found = Host(short_path)
    monkeypatch.setattr(found.modules["units"], "state", lambda _: "active")
    monkeypatch.setattr(found.modules["haproxy"], "SETTLE_SECONDS", 0.3)
    return found


@pytest.fixture
def haproxy(host: Host) -> Iterator[FakeHaproxy]:
    with running(host) as fake:
        yield fake


def test_a_fresh_balancer_drains_nobody(host: Host, haproxy: FakeHaproxy) -> None:
    assert host.call("status") == (0, {
        "engine": "haproxy",
        "drained": [], "maintenance": {"on": False, "retry_after": 0, "since": None},
        "servers": {"web1": "UP", "web2": "UP", "web3": "UP"},
    })  # fmt: skip
    assert haproxy.changes() == []


def test_a_drain_takes_effect_at_once_and_is_undone_by_name(host: Host, haproxy: FakeHaproxy) -> None:
    code, answer = host.call("drain", "web2")
    assert (code, answer["drained"]) == (0, ["web2"])
    assert answer["servers"]["web2"] == "DRAIN"
    assert haproxy.changes() == ["set server web/web2 state drain"]
    code, answer = host.call("undrain", "web2")
    assert (code, answer["drained"], answer["servers"]["web2"]) == (0, [], "UP")


def test_a_drain_outlasts_reload_and_restart(host: Host, haproxy: FakeHaproxy) -> None:
    host.call("drain", "web2")
    host.call("drain", "web3")
    haproxy.start()
    assert haproxy.admin == {"web1": 0, "web2": DRAIN, "web3": DRAIN}
    host.call("undrain", "web2")
    haproxy.start()
    assert haproxy.admin == {"web1": 0, "web2": 0, "web3": DRAIN}


def test_workers_that_a_reload_replaced_do_the_same(host: Host, haproxy: FakeHaproxy) -> None:
    """They answer once more on each idle connection: a drained host must not get that request either."""
    host.call("maintenance", "on")
    haproxy.reload()
    assert haproxy.old
    host.call("drain", "web2")
    host.call("maintenance", "off")
    assert haproxy.old.admin["web2"] == haproxy.admin["web2"] == DRAIN
    assert haproxy.old.map == haproxy.map == {}


def test_a_worker_that_ends_meanwhile_is_nobody_to_be_asked(host: Host, haproxy: FakeHaproxy) -> None:
    haproxy.reload()
    assert haproxy.old
    haproxy.old.asked.clear()
    haproxy.answer_as_master = lambda command: (  # type: ignore[method-assign]  # the stand-in's own
        "# old workers\n1233 worker 1 0d 3.0.11\n# programs\n" if command == "show proc" else "Can't find the target\n"
    )
    assert host.call("drain", "web2")[0] == 0
    assert haproxy.old.asked == []
    host.layout.master.unlink()
    assert host.call("undrain", "web2")[0] == 0


def test_without_the_file_the_same_drain_is_lost(host: Host, haproxy: FakeHaproxy) -> None:
    """The control: what only the running process knows is gone with it."""
    host.modules["haproxy"].ask(host.layout, "set server web/web2 state drain")
    assert haproxy.admin["web2"] == DRAIN
    haproxy.start()
    assert haproxy.admin["web2"] == 0


def test_the_row_of_a_drained_server_is_one_that_haproxy_takes(host: Host, haproxy: FakeHaproxy) -> None:
    """Check status 1 (HCHK_STATUS_INI): with 0 HAProxy 3.0.11 keeps no result of its first check, and crashes."""
    host.call("drain", "web3")
    assert host.state.read_text() == "1\n0 web 0 web3 - 2 8 1 1 0 1 0 3 6 0 0 0 - 8081 -\n"


def test_undraining_one_that_is_not_drained_is_no_error_and_changes_nothing(host: Host, haproxy: FakeHaproxy) -> None:
    assert host.call("undrain", "web1")[0] == 0
    assert haproxy.changes() == []


@pytest.mark.parametrize("act", ["drain", "undrain"])
@pytest.mark.parametrize(
    "name", ["web9", "db1", "", "web1;", "web1 state maint", "web1\nshow info", "../web1", "web/web1"]
)
def test_a_name_that_is_no_web_server_is_refused_and_reaches_nobody(
    host: Host, haproxy: FakeHaproxy, act: str, name: str
) -> None:
    code, answer = host.call(act, name)
    assert code == 2
    assert "there are: web1, web2, web3" in answer["error"]["what"]
    assert (haproxy.asked, host.state.read_text()) == ([], "1\n")


def test_the_last_server_in_rotation_is_not_drained(host: Host, haproxy: FakeHaproxy) -> None:
    host.call("drain", "web1")
    host.call("drain", "web2")
    code, answer = host.call("drain", "web3")
    assert (code, haproxy.admin["web3"]) == (1, 0)
    assert "last web server in rotation; switch maintenance on" in answer["error"]["what"]
    assert host.call("drain", "web2")[0] == 0, "one that is drained already may be drained again"


@pytest.mark.parametrize("argv", [
    [], ["rm"], ["status", "x"], ["drain"], ["drain", "web1", "web2"], ["maintenance"], ["maintenance", "maybe"],
    ["maintenance", "on", "--retry-after", "0"], ["maintenance", "on", "--retry-after", "1e9"],
    ["maintenance", "on", "--retry-after", "-5"], ["maintenance", "on", "--retry", "5"], ["traffic"],
    ["traffic", "--since", "yesterday"], ["traffic", "--since", "nan"], ["traffic", "--since", "-1"],
    ["traffic", "--since", "1", "--until", "inf"], ["--help-me"],
])  # fmt: skip
def test_an_unknown_command_line_is_refused_as_json(host: Host, haproxy: FakeHaproxy, argv: list[str]) -> None:
    code, answer = host.call(*argv)
    assert code == 2
    assert set(answer["error"]) == {"what", "unit", "journal"}
    assert haproxy.asked == []


def test_a_balancer_that_does_not_run_takes_it_at_its_start(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.modules["units"], "state", lambda _: "inactive")
    code, answer = host.call("drain", "web2")
    assert (code, answer["drained"], answer["servers"]) == (0, ["web2"], {})
    assert FakeHaproxy(host.root).admin["web2"] == DRAIN


def test_one_that_should_run_and_does_not_answer_is_an_error_that_says_what_holds(host: Host) -> None:
    code, answer = host.call("drain", "web2")
    assert code == 1
    assert answer["error"]["what"] == "written down, but the running HAProxy did not take it: it does not answer"
    assert host.call("status")[1]["drained"] == ["web2"]


def test_what_haproxy_refuses_is_told(host: Host, haproxy: FakeHaproxy) -> None:
    haproxy.refuses = "Permission denied\n"
    code, answer = host.call("drain", "web2")
    assert (code, "Permission denied" in answer["error"]["what"]) == (1, True)


def reload(host: Host, haproxy: FakeHaproxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A reload under way: its process has read the files already, and takes over once the old one was told."""
    states = iter(["reloading"])
    unaware = (dict(haproxy.admin), dict(haproxy.map))

    def state(_: str) -> str:
        now = next(states, "active")
        if now == "reloading":
            haproxy.admin, haproxy.map = unaware
        return now

    monkeypatch.setattr(host.modules["units"], "state", state)
    return state


def test_a_drain_in_the_middle_of_a_reload_reaches_the_process_that_takes_over(
    host: Host, haproxy: FakeHaproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    reload(host, haproxy, monkeypatch)
    assert host.call("drain", "web2")[0] == 0
    assert haproxy.admin["web2"] == DRAIN
    assert haproxy.changes() == 2 * ["set server web/web2 state drain"]


def test_who_does_not_wait_for_a_reload_loses_the_drain(
    host: Host, haproxy: FakeHaproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    state = reload(host, haproxy, monkeypatch)
    monkeypatch.setattr(host.modules["units"], "CHANGING", ())
    monkeypatch.setattr(host.modules["units"], "state", lambda unit: state(unit) and "active")
    assert host.call("drain", "web2")[0] == 0
    assert haproxy.admin["web2"] == 0


def test_ended_between_the_file_and_the_socket_the_next_act_completes(host: Host, haproxy: FakeHaproxy) -> None:
    state = host.modules["state"]
    state.write(host.layout, state.Wanted(frozenset({"web2"})))  # and there it was killed
    assert haproxy.admin["web2"] == 0
    host.call("drain", "web2")
    assert haproxy.admin["web2"] == DRAIN


def test_a_server_that_a_person_holds_in_maintenance_is_left_alone(host: Host, haproxy: FakeHaproxy) -> None:
    haproxy.admin["web1"] = MAINT
    host.call("drain", "web2")
    host.call("undrain", "web2")
    assert haproxy.admin["web1"] == MAINT


def test_a_changed_configuration_keeps_the_drains_of_servers_that_there_still_are(
    host: Host, haproxy: FakeHaproxy
) -> None:
    host.call("drain", "web2")
    host.call("drain", "web3")
    host.configure(servers={"web1": SERVERS["web1"], "web2": SERVERS["web2"] | {"port": 9090}})
    assert [host.edge("refresh"), host.edge("refresh")] == [(0, "changed"), (0, "unchanged")]
    assert host.call("status")[1]["drained"] == ["web2"]
    assert host.state.read_text() == "1\n0 web 0 web2 - 2 8 1 1 0 1 0 3 6 0 0 0 - 9090 -\n"


def test_a_host_that_was_never_converged_says_so(host: Host) -> None:
    host.layout.wanted.unlink()
    code, answer = host.call("status")
    assert (code, "never converged" in answer["error"]["what"]) == (1, True)


def test_maintenance_begins_and_ends_without_a_reload_and_outlasts_one(host: Host, haproxy: FakeHaproxy) -> None:
    code, answer = host.call("maintenance", "on", "--retry-after", "600")
    assert code == 0
    assert answer["maintenance"]["on"]
    assert haproxy.map == {"retry_after": "600", "since": str(answer["maintenance"]["since"])}
    haproxy.start()
    assert haproxy.map["retry_after"] == "600"
    code, answer = host.call("maintenance", "off")
    assert (code, answer["maintenance"]) == (0, {"on": False, "retry_after": 0, "since": None})
    assert haproxy.map == {}
    haproxy.start()
    assert haproxy.map == {}


def test_maintenance_switched_on_again_keeps_its_beginning(
    host: Host, haproxy: FakeHaproxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.modules["cli"].time, "time", lambda: 1000.9)
    assert host.call("maintenance", "on")[1]["maintenance"] == {"on": True, "retry_after": 120, "since": 1000}
    monkeypatch.setattr(host.modules["cli"].time, "time", lambda: 2000.0)
    again = host.call("maintenance", "on", "--retry-after", "60")[1]["maintenance"]
    assert again == {"on": True, "retry_after": 60, "since": 1000}
    assert haproxy.map == {"retry_after": "60", "since": "1000"}


def test_maintenance_and_drains_leave_one_another_alone(host: Host, haproxy: FakeHaproxy) -> None:
    host.call("drain", "web2")
    host.call("maintenance", "on")
    assert haproxy.admin["web2"] == DRAIN
    host.call("undrain", "web2")
    assert "retry_after" in haproxy.map
