"""cron-once: a job is run when it is this host's turn, ended when its time is over, and told of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., int]


@pytest.fixture
def run(claims: Any, configure: Callable[..., Path]) -> Run:
    """`cron-once` on a host with one job: its exit status. Another host is another name."""
    from cron_once import cli

    def call(*words: str, host: str = "web1", **job: Any) -> int:
        return int(cli.main(list(words) or ["job"], configure(job, host=host), claims))

    return call


@pytest.fixture
def grace(library: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """What is told to end is ended by force a second later."""
    from cron_once import running

    monkeypatch.setattr(running, "GRACE_SECONDS", 1)
    return 1


def measured(root: Path, name: str = "job") -> dict[str, float]:
    """The metrics of a job by their names."""
    lines = (root / f"metrics/cron_{name}.prom").read_text().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {metric.partition("{")[0].removeprefix("cron_last_"): float(value) for metric, value in values.items()}


def alive(pid: int) -> bool:
    """Whether a process is there and not merely waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_each_time_is_one_hosts_and_the_command_is_run_without_a_shell(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cron_once import cli

    said = tmp_path / "said"
    command = f"""{sys.executable} -c 'open("{said}", "a").write("$HOME;" + __import__("os").getcwd() + "|")'"""
    slots = iter([1000, 1000, 1060])
    monkeypatch.setattr(cli, "slot", lambda *_: next(slots))
    assert run(command=command) == 0
    assert run(command=command, host="web2") == 0
    assert said.read_text() == "$HOME;/|", "the second host was too late"
    assert run(command=command, host="web2") == 0
    assert said.read_text() == "$HOME;/|" * 2


def test_what_a_job_needs_and_has_not_makes_it_not_due(run: Run, root: Path, sql: Callable[[str], str]) -> None:
    assert run(command="false", needs=str(root / "current")) == 0
    assert sql("SELECT to_regclass('cron.run') IS NULL") == "t", "nobody was asked"
    (root / "current").touch()
    assert run(command="false", needs=str(root / "current")) == 1


def test_exit_status_and_times_are_measured_and_a_success_is_remembered(
    run: Run, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cron_once import cli

    slots = iter([1000, 1060, 1120])
    monkeypatch.setattr(cli, "slot", lambda *_: next(slots))
    assert run(command="sh -c 'exit 7'") == 7
    assert set(measured(root)) == {"duration_seconds", "exit_code"}, "it has never ended well"
    assert measured(root)["exit_code"] == 7
    assert run(command="sleep 0.3") == 0
    first = measured(root)
    assert first["exit_code"] == 0
    assert 0.3 <= first["duration_seconds"] < 5
    assert abs(first["success_timestamp_seconds"] - time.time()) < 10
    assert run(command="false") == 1
    assert measured(root)["success_timestamp_seconds"] == pytest.approx(first["success_timestamp_seconds"])
    assert (root / "metrics/cron_job.prom").stat().st_mode & 0o777 == 0o644


def test_measures_of_jobs_that_nobody_declares_any_more_are_gone(run: Run, root: Path) -> None:
    (root / "metrics/cron_older.prom").touch()
    (root / "metrics/apt.prom").touch()
    run()
    assert sorted(path.name for path in (root / "metrics").iterdir()) == ["apt.prom", "cron_job.prom"]


def test_a_job_whose_time_is_over_is_told_to_end(run: Run, root: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    code = run(command=f"sh -c 'trap \"echo ended > {said}; exit 0\" TERM; sleep 60 & wait'", timeout_seconds=1)
    assert code == 124
    assert said.read_text() == "ended\n"
    assert measured(root)["exit_code"] == 124


def test_a_job_that_does_not_end_is_ended_with_all_that_it_started(run: Run, grace: float, tmp_path: Path) -> None:
    said = tmp_path / "said"
    command = f"sh -c 'trap \"\" TERM; sh -c \"echo \\$\\$ > {said}; sleep 60\" & sleep 60; sleep 60'"
    started = time.monotonic()
    assert run(command=command, timeout_seconds=1) == 124
    assert time.monotonic() - started < 1 + grace + 5
    assert not alive(int(said.read_text()))


def test_what_a_job_leaves_running_is_ended_with_it(run: Run, grace: float, tmp_path: Path) -> None:
    said = tmp_path / "said"
    assert run(command=f"sh -c 'sleep 60 & echo $! > {said}'") == 0
    assert not alive(int(said.read_text()))


def test_the_lock_is_held_for_as_long_as_a_job_can_run_and_no_longer(run: Run, claims: Any, tmp_path: Path) -> None:
    assert run(timeout_seconds=40) == 0
    last = claims.last()["job"]
    held = datetime.fromisoformat(last["until"]) - datetime.fromisoformat(last["started"])
    assert held.total_seconds() == 40 + 15 + 5, "until it is ended by force, and a little"
    assert (last["host"], last["ok"], last["ended"] is not None) == ("web1", True, True)


def test_a_job_that_cannot_be_started_is_told_and_lets_go(
    run: Run, claims: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command="/nowhere/at/all") == 1
    assert "job cannot be run: " in capsys.readouterr().err
    assert claims.last()["job"]["ok"] is False
    assert claims.last()["job"]["ended"]


def test_without_the_database_nothing_is_run(
    run: Run, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "etc/booking/environment"
    path.write_text(path.read_text().replace("BOOKING_DATABASE_HOST=", "BOOKING_DATABASE_HOST=/nowhere"))
    assert run(command=f"touch {tmp_path}/ran") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("not run: the database could not be asked: ")
    assert not (tmp_path / "ran").exists()


def test_the_last_runs_are_told_also_of_jobs_that_never_ran(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--status") == 0
    assert json.loads(capsys.readouterr().out) == {"job": None}
    run()
    assert run("--status") == 0
    assert json.loads(capsys.readouterr().out)["job"]["host"] == "web1"


@pytest.mark.parametrize("words", [["--help"], ["a", "b"], ["-x"]])
def test_bad_usage_is_told(run: Run, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert "usage: cron-once" in capsys.readouterr().err


def test_a_job_that_nobody_declares_is_not_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("jab") == 1
    assert "there is no job 'jab' here; there are: job" in capsys.readouterr().err


def test_hosts_whose_clocks_differ_and_calls_that_come_late_mean_the_same_time(library: Path) -> None:
    from cron_once import cli
    from cron_once.jobs import Job

    hourly = Job("job", "7 * * * *", "", "", 1, "")
    due = int(datetime(2026, 11, 21, 16, 7).timestamp())  # noqa: DTZ001 - cron goes by local time
    for second in (-29, -1, 0, 1, 59, 600):
        assert cli.slot(hourly, due + second) == due, second
    assert cli.slot(hourly, due - 60) == due - 3600


def test_a_job_ends_with_the_program_that_runs_it(
    library: Path, claims: Any, configure: Callable[..., Path], root: Path, tmp_path: Path
) -> None:
    """However that ends: a run that nobody ends when its time is over would outlast the lock."""
    said = tmp_path / "said"
    path = configure({"command": f"sh -c 'echo $$ > {said}; sleep 60'"})
    program = (
        "import sys; from pathlib import Path; from cron_once import cli; from cron_once.claims import Claims\n"
        "from booking_release.layout import Layout\n"
        f"sys.exit(cli.main(['job'], Path({str(path)!r}), Claims(Layout(Path({str(root)!r})))))"
    )
    for number, end in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        said.unlink(missing_ok=True)
        claims.moment()
        if number == signal.SIGTERM:
            from cron_once import claims as module

            claims._ask(f"DELETE FROM cron.run -- {module.APPLICATION}\n;", {})
        process = subprocess.Popen(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        )
        while not said.exists() or not said.read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=10) == end
        until = time.monotonic() + 10
        while alive(int(said.read_text())):
            assert time.monotonic() < until
            time.sleep(0.05)
