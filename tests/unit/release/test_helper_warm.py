"""The release before stays warm: its web server up for a while, for a rollback in an instant."""

from __future__ import annotations

import subprocess

import pytest

from .machine import NEW, OLD, Host, Release


@pytest.fixture
def switched(host: Host, nginx: None, old: Release, new: Release) -> Host:
    """A host with a process, switched from the old release to the new one; both still run."""
    host.configure(processes=["worker"])
    for release, name in ((old, f"{OLD}.1"), (new, f"{NEW}.2")):
        release.stage(host)
        host.act("start", release.name)
        host.act("swap", name)
    return host


@pytest.fixture
def warm(switched: Host) -> Host:
    """The same host, with the old release kept warm."""
    answer = switched.act("retire", "--warm", f"{OLD}.1", "--seconds", "900")
    assert answer == (0, {"stopped": [], "warm": f"{OLD}.1"})
    return switched


def units(host: Host) -> set[str]:
    return {path.name for path in (host.root / "units").iterdir()}


def timers(host: Host) -> list[str]:
    return sorted(path.name for path in (host.root / "timers").iterdir())


def test_the_web_server_of_the_release_before_stays_and_its_processes_end(warm: Host) -> None:
    assert units(warm) == {
        f"booking-web@{OLD}.1.service", f"booking-web@{NEW}.2.service", f"booking-worker@{NEW}.2.service",
    }  # fmt: skip
    status = warm.status()
    assert (status["activation"], status["warm"]) == (f"{NEW}.2", [f"{OLD}.1"])
    assert status["running"] == [f"{OLD}.1", f"{NEW}.2"]


def test_systemd_is_told_to_end_it_when_its_time_is_over(warm: Host) -> None:
    assert timers(warm) == [f"booking-cool-{OLD}.1.timer"]
    said = (warm.root / "timers" / timers(warm)[0]).read_text().split()
    assert "--on-active=900" in said
    assert said[-3:] == ["/usr/local/sbin/booking-release", "cool", f"{OLD}.1"]
    assert warm.call("cool", f"{OLD}.1") == (0, {"stopped": [f"{OLD}.1"]})
    assert warm.status()["running"] == [f"{NEW}.2"]
    assert not warm.layout.socket(f"{OLD}.1").exists()


def test_what_serves_again_is_not_ended_when_its_time_is_over(warm: Host) -> None:
    warm.act("swap", f"{OLD}.1")
    assert warm.call("cool", f"{OLD}.1") == (0, {"stopped": []})
    assert warm.status()["running"] == [f"{OLD}.1", f"{NEW}.2"]


def test_without_warmth_or_time_everything_else_ends(switched: Host) -> None:
    assert switched.act("retire", "--warm", f"{OLD}.1", "--seconds", "0")[1] == {"stopped": [f"{OLD}.1"], "warm": None}
    assert timers(switched) == []


def test_what_cannot_be_ended_later_is_ended_now(switched: Host) -> None:
    (switched.root / "no-timers").touch()
    assert switched.act("retire", "--warm", f"{OLD}.1", "--seconds", "9")[1] == {"stopped": [f"{OLD}.1"], "warm": None}
    assert switched.status()["running"] == [f"{NEW}.2"]


def test_what_serves_cannot_be_the_warm_one(switched: Host) -> None:
    assert switched.act("retire", "--warm", f"{NEW}.2", "--seconds", "9")[1] == {"stopped": [f"{OLD}.1"], "warm": None}
    assert switched.status()["activation"] == f"{NEW}.2"
    assert timers(switched) == []


def test_one_release_is_warm_at_a_time(warm: Host) -> None:
    warm.act("start", NEW)
    warm.act("swap", f"{NEW}.3")
    answer = warm.act("retire", "--warm", f"{NEW}.2", "--seconds", "60")
    assert answer == (0, {"stopped": [f"{OLD}.1"], "warm": f"{NEW}.2"})
    assert timers(warm) == [f"booking-cool-{NEW}.2.timer"], "the timer of what has ended is gone as well"


def test_a_warm_release_takes_over_without_a_start_of_its_web_server(warm: Host) -> None:
    before = len(warm.log())
    code, answer = warm.act("start", "--reuse", f"{OLD}.1", OLD)
    assert (code, answer["activation"]) == (0, f"{OLD}.1")
    started = [line for line in warm.log()[before:] if line.startswith("start")]
    assert started == [f"start --no-block booking-worker@{OLD}.1.service"]
    assert warm.act("swap", f"{OLD}.1")[0] == 0
    assert warm.status()["activation"] == f"{OLD}.1"


def test_what_is_about_to_serve_is_not_ended_by_its_timer(warm: Host) -> None:
    warm.act("start", "--reuse", f"{OLD}.1", OLD)
    assert timers(warm) == []


def test_what_is_switched_to_at_once_is_not_ended_by_its_timer_either(warm: Host) -> None:
    """A host without processes has nothing to start first."""
    assert warm.act("swap", f"{OLD}.1")[0] == 0
    assert timers(warm) == []


@pytest.mark.parametrize(
    ("said", "code"), [({"ActiveState": "active", "Job": "17"}, 1), ({"ActiveState": "deactivating"}, 1),
                       ({"ActiveState": "active", "Job": ""}, 0), ({"ActiveState": "activating", "Job": "17"}, 0)],
)  # fmt: skip
def test_what_is_just_being_ended_is_not_switched_to(warm: Host, said: dict[str, str], code: int) -> None:
    """Its time was over between the question whether it is ready and the switch: it still answers."""
    unit = f"booking-web@{OLD}.1.service"
    (warm.root / "show" / unit).write_text("".join(f"{key}={value}\n" for key, value in said.items()))
    found, answer = warm.act("swap", f"{OLD}.1")
    assert found == code
    assert code == 0 or "is ending, nothing was switched" in answer["error"]["what"]
    assert warm.status()["activation"] == (f"{NEW}.2" if code else f"{OLD}.1")
    assert warm.status()["current"] == (NEW if code else OLD)


def test_a_failed_start_leaves_alone_what_was_switched_to_meanwhile(
    warm: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection was given up, and the same owner went on under a new token."""
    activations, layout = warm.modules["activations"], warm.modules["layout"]

    def overtaken(*_: object) -> None:
        warm.token = warm.call("renew", "--token", str(warm.token))[1]["token"]
        assert warm.act("swap", f"{OLD}.1")[0] == 0
        raise layout.HelperError("does not get ready")

    monkeypatch.setattr(activations, "wait_ready", overtaken)
    assert warm.act("start", "--reuse", f"{OLD}.1", OLD)[0] == 13
    assert f"booking-worker@{OLD}.1.service" in units(warm)


def test_a_failed_start_whose_owner_is_gone_is_left_to_the_next_one(
    warm: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    activations, layout = warm.modules["activations"], warm.modules["layout"]

    def too_late(*_: object) -> None:
        warm.layout.beat.unlink()  # as if the lease had run out
        raise layout.HelperError("does not get ready")

    monkeypatch.setattr(activations, "wait_ready", too_late)
    assert warm.act("start", "--reuse", f"{OLD}.1", OLD)[0] == 13
    assert warm.takeover()["argument"] == f"{OLD}.1"
    assert f"booking-worker@{OLD}.1.service" not in units(warm)
    assert warm.status()["intent"] is None


def test_a_process_that_does_not_start_again_leaves_the_warm_web_server_alone(warm: Host) -> None:
    (warm.root / "broken-worker").touch()
    code, answer = warm.act("start", "--reuse", f"{OLD}.1", OLD)
    assert code == 1
    assert answer["error"]["unit"] == f"booking-worker@{OLD}.1.service"
    assert f"booking-web@{OLD}.1.service" in units(warm)
    assert warm.layout.socket(f"{OLD}.1").is_socket()
    assert warm.status()["warm"] == [f"{OLD}.1"]


def test_a_warm_web_server_that_does_not_answer_is_not_taken(warm: Host) -> None:
    warm.configure(ready_seconds=0.3)
    (warm.root / "red").touch()
    code, answer = warm.act("start", "--reuse", f"{OLD}.1", OLD)
    assert code == 1
    assert "said 503" in answer["error"]["what"]
    assert f"booking-worker@{OLD}.1.service" not in units(warm)


def test_a_warm_activation_of_another_release_is_refused(warm: Host) -> None:
    assert warm.act("start", "--reuse", f"{OLD}.1", NEW)[0] == 2


def test_a_warm_activation_that_has_ended_is_refused(warm: Host) -> None:
    warm.call("cool", f"{OLD}.1")
    code, answer = warm.act("start", "--reuse", f"{OLD}.1", OLD)
    assert code == 1
    assert "not warm any more" in answer["error"]["what"]


CHANGES = [
    "etc/booking/environment", "etc/booking/credentials/secret_key", "etc/booking/credentials/one_more",
    "etc/booking/outgoing-ca.pem",
    "etc/systemd/system/booking-web@.service", "etc/systemd/system/booking-worker@.service",
    "etc/systemd/system/booking-web@.service.d/10-more.conf",
]  # fmt: skip


@pytest.mark.parametrize("path", CHANGES)
def test_what_runs_with_settings_that_changed_since_is_stale_and_not_warm(warm: Host, path: str) -> None:
    status = warm.status()
    assert (status["stale"], status["warm"]) == (False, [f"{OLD}.1"]), "the control"
    (warm.root / path).parent.mkdir(exist_ok=True)
    (warm.root / path).write_text("changed\n")
    status = warm.status()
    assert (status["stale"], status["warm"]) == (True, [])
    code, answer = warm.act("start", "--reuse", f"{OLD}.1", OLD)
    assert code == 1
    assert "settings that changed since" in answer["error"]["what"]


def test_a_file_that_is_written_again_as_it_was_makes_nothing_stale(warm: Host) -> None:
    path = warm.root / CHANGES[0]
    path.write_text(path.read_text())
    assert warm.status()["stale"] is False


def test_a_restart_is_not_stale_any_more(warm: Host) -> None:
    (warm.root / CHANGES[0]).write_text("changed\n")
    warm.act("start", NEW)
    warm.act("swap", f"{NEW}.3")
    assert warm.status()["stale"] is False


def test_a_host_on_which_nothing_serves_is_not_stale(host: Host) -> None:
    assert host.status()["stale"] is False


def test_no_secret_can_be_read_from_what_is_kept_of_the_settings(warm: Host) -> None:
    kept = warm.layout.mark(f"{NEW}.2")
    assert "s3cret" not in kept.read_text()
    assert kept.parent.stat().st_mode & 0o077 == 0


def test_nothing_is_kept_of_the_settings_of_what_has_ended(warm: Host) -> None:
    warm.call("cool", f"{OLD}.1")
    assert not warm.layout.mark(f"{OLD}.1").exists()
    assert warm.layout.mark(f"{NEW}.2").exists()


def test_a_web_server_that_died_while_warm_is_not_warm(warm: Host) -> None:
    unit = warm.root / f"units/booking-web@{OLD}.1.service"
    subprocess.run(["kill", "-9", unit.read_text().strip()], check=True)
    unit.write_text("")
    assert warm.status()["warm"] == []
