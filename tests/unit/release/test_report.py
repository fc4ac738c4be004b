"""deploy.release.report: plain lines for pipelines, a live table for people."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading

import pytest

from deploy.release.report import WORKING, Report, live


class Terminal(io.StringIO):
    """An output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def test_in_a_pipe_each_step_is_one_line_with_the_time_of_day_and_what_it_took() -> None:
    out = io.StringIO()
    report = Report(out)
    with report.step("stage") as notes:
        notes.append("web1 2.0 MB")
        report.host("web1", "staging")
    report.say("recovered")
    first, second = out.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\dZ +0\.\d\d  stage +0\.\d\d s  web1 2\.0 MB", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\dZ +0\.\d\d  recovered", second)
    assert "\x1b" not in out.getvalue()


def test_progress_goes_to_standard_error_so_that_the_answer_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with Report().step("stage"):
        pass
    said = capsys.readouterr()
    assert "stage" in said.err
    assert said.out == ""


def test_a_quiet_report_shows_nothing_and_still_counts(terminal: Terminal) -> None:
    report = Report(terminal, quiet=True)
    with report.step("connect"):
        report.host("web1", "done")
    report.say("told")
    assert terminal.getvalue() == ""
    assert "connect" in report.seconds


def test_a_step_that_fails_says_so_and_how_far_each_host_got() -> None:
    out = io.StringIO()
    report = Report(out)
    _fail(report, "start", web1="done", web2=WORKING)
    assert out.getvalue().endswith("failed  web1: done, web2: not done\n")
    assert "boom" not in out.getvalue(), "the error is told once, by whoever handles it"


def test_an_interrupted_step_is_told_as_one() -> None:
    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt), Report(out).step("start"):
        raise KeyboardInterrupt
    assert out.getvalue().endswith("interrupted\n")


def test_seconds_are_kept_by_title_and_add_up() -> None:
    report = Report(io.StringIO())
    for _ in range(2):
        with report.step("verify"):
            pass
    assert list(report.seconds) == ["verify"]
    assert 0 <= report.seconds["verify"] <= report.total()


def test_in_a_terminal_the_table_shows_hosts_by_step_and_the_lines_stay(terminal: Terminal) -> None:
    report = Report(terminal)
    with report.step("start"):
        report.host("web1", "starting")
        table = report._table
        assert table is not None
        drawn = _text(table)
        assert re.search(r"web1 +starting", drawn)
        report.host("web1", "ready")
    with report.step("swap web1"):
        report.host("web1", "swapping")
        drawn = _text(table)
        assert re.search(r"start +swap\b", drawn), "steps of one kind share a column"
        assert re.search(r"web1 +✓ +swapping", drawn)
    assert "start  " in terminal.getvalue()
    assert "swap web1" in terminal.getvalue()
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h"), "the cursor is back"


def test_after_a_failure_the_terminal_is_as_it_was(terminal: Terminal) -> None:
    stdout = sys.stdout
    report = Report(terminal)
    _fail(report, "start", web1=WORKING)
    assert sys.stdout is stdout
    for thread in threading.enumerate():
        if "Refresh" in type(thread).__name__:
            thread.join(5)
            assert not thread.is_alive()
    assert terminal.getvalue().count("\x1b[?25l") == terminal.getvalue().count("\x1b[?25h")


def test_one_step_within_another_keeps_one_table(terminal: Terminal) -> None:
    report = Report(terminal)
    with report.step("put every host back"), report.step("verify the old"):
        report.host("web1", "verifying")
    said = terminal.getvalue()
    assert said.index("verify the old  ") < said.rindex("put every host back  ")


def test_no_color_is_obeyed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> str:
        out = Terminal()
        _fail(Report(out), "start")
        return out.getvalue()

    colour = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
    assert colour.search(run()), "the control: there is colour to leave out"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.search(run())


@pytest.mark.parametrize(("name", "value"), [("CI", "true"), ("TERM", "dumb"), ("TERM", "")])
def test_a_pipeline_and_a_terminal_that_cannot_redraw_get_plain_lines(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert live(terminal), "the control"
    monkeypatch.setenv(name, value)
    assert not live(terminal)
    with Report(terminal).step("start"):
        pass
    assert "\x1b" not in terminal.getvalue()


def test_hosts_may_tell_of_themselves_from_their_own_threads(terminal: Terminal) -> None:
    report = Report(terminal)
    with report.step("start"):
        threads = [threading.Thread(target=report.host, args=(f"web{n}", "ready")) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert report._table is not None
        assert _text(report._table).count("ready") == 20


def test_plain_lines_do_not_wait_for_rich() -> None:
    code = (
        "import sys; from deploy.release.report import Report\n"
        "with Report().step('x'): pass\n"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


def _fail(report: Report, title: str, **states: str) -> None:
    def step() -> None:
        with report.step(title):
            for name, state in states.items():
                report.host(name, state)
            raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        step()


def _text(table: object) -> str:
    from rich.console import Console

    console = Console(width=120, file=io.StringIO())
    with console.capture() as captured:
        console.print(table.draw())  # type: ignore[attr-defined] # the table is the report's own affair
    return captured.get()
