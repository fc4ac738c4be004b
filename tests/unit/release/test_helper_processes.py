"""Processes beside the web, such as a queue's workers: they start, serve and end with their activation."""

from __future__ import annotations

import time

import pytest

from .machine import NEW, OLD, Host, Release


@pytest.fixture
def workers(host: Host, nginx: None, old: Release, new: Release) -> Host:
    """A host with a web server and a process, which serves the old release and holds the new one."""
    host.configure(processes=["worker"])
    return host.serving(old, new)


@pytest.fixture
def plain(host: Host, old: Release, new: Release) -> Host:
    """A host without a web server, which runs two processes of the old release and holds the new one."""
    host.configure(web=False, processes=["worker", "mail"])
    return host.serving(old, new)


def units(host: Host) -> set[str]:
    """The units that run."""
    return {path.name for path in (host.root / "units").iterdir()}


def says(host: Host, unit: str, **properties: str) -> None:
    """What systemd says of a unit from now on."""
    (host.root / "show" / unit).write_text("".join(f"{key}={value}\n" for key, value in properties.items()))


def test_processes_start_with_the_web_under_one_number(workers: Host) -> None:
    workers.act("start", NEW)
    assert units(workers) == {
        f"booking-{kind}@{activation}.service" for kind in ("web", "worker") for activation in (f"{OLD}.1", f"{NEW}.2")
    }
    assert workers.status()["running"] == [f"{OLD}.1", f"{NEW}.2"]


def test_a_process_that_does_not_start_takes_its_web_server_along(workers: Host) -> None:
    (workers.root / "broken-worker").touch()
    code, answer = workers.act("start", NEW)
    assert code == 1
    assert answer["error"]["unit"] == f"booking-worker@{NEW}.2.service"
    assert answer["error"]["journal"] == ["Boom: the last line"]
    assert workers.status()["running"] == [f"{OLD}.1"]


def test_a_process_that_waits_for_its_next_attempt_has_failed(workers: Host) -> None:
    says(workers, f"booking-worker@{NEW}.2.service", ActiveState="activating", SubState="auto-restart")
    code, answer = workers.act("start", NEW)
    assert (code, answer["error"]["unit"]) == (1, f"booking-worker@{NEW}.2.service")


def test_a_process_that_systemd_has_yet_to_start_has_not_failed(workers: Host) -> None:
    workers.configure(ready_seconds=0.5)
    says(workers, f"booking-worker@{NEW}.2.service", ActiveState="inactive", SubState="dead", Job="17")
    code, answer = workers.act("start", NEW)
    assert code == 1
    assert "does not get ready" in answer["error"]["what"], "it is waited for"
    assert "is activating" in answer["error"]["what"]
    says(workers, f"booking-worker@{NEW}.3.service", ActiveState="inactive", SubState="dead")
    assert "died" in workers.act("start", NEW)[1]["error"]["what"], "the control"


def test_a_process_counts_as_started_once_it_has_run_for_a_while(plain: Host) -> None:
    """One that ends as soon as it has read its settings is active for a moment."""
    plain.configure(steady_seconds=0.3, ready_seconds=5)
    entered = str(int(time.monotonic() * 1e6))
    says(plain, f"booking-mail@{NEW}.2.service", ActiveState="active", ActiveEnterTimestampMonotonic=entered)
    code, answer = plain.act("start", NEW)
    assert code == 0
    assert answer["seconds"] >= 0.2
    plain.configure(steady_seconds=0)
    says(plain, f"booking-mail@{NEW}.3.service", ActiveState="active", ActiveEnterTimestampMonotonic=entered)
    assert plain.act("start", NEW)[1]["seconds"] < answer["seconds"], "the control"


def test_processes_of_what_is_warm_have_proven_themselves(workers: Host) -> None:
    """They ran, with these settings, until it was switched away from: a way back waits for none of it again."""
    workers.act("start", NEW)
    workers.act("swap", f"{NEW}.2")
    workers.act("retire", "--warm", f"{OLD}.1", "--seconds", "60")
    workers.configure(steady_seconds=0.5)
    entered = str(int(time.monotonic() * 1e6))
    for unit in (f"booking-worker@{OLD}.1.service", f"booking-worker@{OLD}.3.service"):
        says(workers, unit, ActiveState="active", ActiveEnterTimestampMonotonic=entered)
    code, answer = workers.act("start", "--reuse", f"{OLD}.1", OLD)
    assert (code, answer["activation"]) == (0, f"{OLD}.1")
    anew = workers.act("start", OLD)[1]
    assert answer["seconds"] < anew["seconds"], "the control"


def test_old_processes_end_with_their_activation(workers: Host) -> None:
    workers.act("start", NEW)
    workers.act("swap", f"{NEW}.2")
    workers.act("retire")
    assert units(workers) == {f"booking-{kind}@{NEW}.2.service" for kind in ("web", "worker")}


def test_a_process_that_was_taken_off_the_list_ends_with_its_activation(workers: Host) -> None:
    workers.configure(processes=[])
    workers.act("start", NEW)
    workers.act("swap", f"{NEW}.2")
    workers.act("retire")
    assert units(workers) == {f"booking-web@{NEW}.2.service"}


def test_one_call_stops_all_units_so_that_they_drain_side_by_side(workers: Host) -> None:
    workers.act("start", NEW)
    workers.act("swap", f"{NEW}.2")
    workers.act("retire")
    waited = [line.split()[1:] for line in workers.log() if line.startswith("stop booking-w")]
    assert [sorted(words) for words in waited] == [[f"booking-web@{OLD}.1.service", f"booking-worker@{OLD}.1.service"]]


def test_a_host_without_a_web_server_switches_its_truth(plain: Host) -> None:
    assert plain.act("start", NEW)[1]["activation"] == f"{NEW}.2"
    assert plain.act("swap", f"{NEW}.2") == (0, {"previous": f"{OLD}.1"})
    status = plain.status()
    assert (status["current"], status["activation"]) == (NEW, f"{NEW}.2")
    assert plain.act("retire") == (0, {"stopped": [f"{OLD}.1"], "warm": None})
    assert units(plain) == {f"booking-{kind}@{NEW}.2.service" for kind in ("worker", "mail")}


def test_a_host_without_a_web_server_is_not_switched_to_what_does_not_run(plain: Host) -> None:
    assert plain.act("swap", f"{NEW}.9")[0] == 1
    assert plain.status()["current"] == OLD


def test_a_restart_beside_itself_that_was_not_switched_to_does_not_serve(plain: Host) -> None:
    """Both are of the current release: which one serves is not told by that."""
    plain.act("start", OLD)
    assert plain.status()["activation"] == f"{OLD}.1"
    assert plain.act("retire")[1]["stopped"] == [f"{OLD}.2"]


def test_a_host_without_a_web_server_keeps_nothing_warm(plain: Host) -> None:
    plain.act("start", NEW)
    assert plain.status()["warm"] == []
    plain.act("swap", f"{NEW}.2")
    assert plain.act("retire", "--warm", f"{OLD}.1", "--seconds", "60")[1]["warm"] is None
    assert plain.status()["running"] == [f"{NEW}.2"]
    assert plain.act("start", "--reuse", f"{NEW}.2", NEW)[0] == 1


@pytest.mark.parametrize("kind", ["workers", "plain"])
def test_a_reboot_brings_the_processes_back(kind: str, request: pytest.FixtureRequest) -> None:
    host: Host = request.getfixturevalue(kind)
    host.modules["activations"].end(host.layout, [f"{OLD}.9"])
    host.layout.current_socket.unlink()  # /run does not outlive a reboot
    host.modules["activations"].end(host.layout, [f"{OLD}.1"])
    assert units(host) == set()
    assert host.call("boot") == (0, {"activation": f"{OLD}.2"})
    status = host.status()
    assert (status["activation"], status["running"]) == (f"{OLD}.2", [f"{OLD}.2"])
    assert f"booking-worker@{OLD}.2.service" in units(host)


def test_bringing_back_starts_a_process_that_is_missing_beside_what_runs(workers: Host) -> None:
    workers.modules["systemd"].systemctl("stop", f"booking-worker@{OLD}.1.service")
    assert workers.call("boot") == (0, {"activation": f"{OLD}.1"})
    assert units(workers) == {f"booking-{kind}@{OLD}.1.service" for kind in ("web", "worker")}
