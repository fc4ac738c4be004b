"""`fab …` as a person calls it: what each task asks of the engine, what it prints, what it ends with."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import deploy.release
from deploy.errors import LockedError
from deploy.release import show
from deploy.release.run import Summary
from deploy.tasks import namespace
from tests.unit.command_line import fab

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 15  # lines of a task; what is longer is the engine's work
SUMMARY = Summary("deploy", "20261121T101500Z-ab12cd3", ["web1"])


class Engine:
    """Stands for deploy.release.engine and its rotation: keeps what it was asked, answers alike."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.error: Exception | None = None

    def __getattr__(self, verb: str) -> Any:
        def act(*arguments: Any, **options: Any) -> Any:
            self.asked.append((verb, arguments, options))
            if self.error:
                raise self.error
            return SUMMARY

        return act


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = Engine()
    for name in ("engine", "rotation"):
        monkeypatch.setitem(sys.modules, f"deploy.release.{name}", found)
        monkeypatch.setattr(deploy.release, name, found, raising=False)
    for name in ("releases", "status"):
        monkeypatch.setattr(show, name, lambda found: f"text of {found.release}")
    return found


@pytest.mark.parametrize(
    ("line", "verb", "arguments", "options"),
    [
        ("deploy", "deploy", ("lab", ""), {"without": (), "canary": None, "budget": 0.01, "wait": 0}),
        (
            "deploy --env live --ref v1 --without web1 --without web2 --canary 5m --budget 0.5% --wait 90s",
            "deploy",
            ("live", "v1"),
            {"without": ("web1", "web2"), "canary": 300, "budget": 0.005, "wait": 90},
        ),
        ("deploy --wait", "deploy", ("lab", ""), {"without": (), "canary": None, "budget": 0.01, "wait": 600}),
        ("rollback --env live", "rollback", ("live",), {"wait": 0}),
        ("rollback --wait 5m", "rollback", ("lab",), {"wait": 300}),
        ("restart --env live --wait 1h", "restart", ("live",), {"wait": 3600}),
        ("join web2 --env live --wait", "join", ("live", "web2"), {"wait": 600}),
        ("join --env live web2", "join", ("live", "web2"), {"wait": 0}),
        ("drain web2", "drain", ("lab", "web2"), {}),
        ("undrain web2 --env live", "undrain", ("live", "web2"), {}),
        ("maintenance --on", "maintenance", ("lab", True, 300), {}),
        ("maintenance --on --retry-after 7m", "maintenance", ("lab", True, 420), {}),
        ("maintenance --off --env live", "maintenance", ("live", False, 300), {}),
        ("preflight --ref v1", "preflight", ("lab", "v1"), {}),
        ("releases --env live", "releases", ("live",), {}),
        ("status", "status", ("lab",), {}),
    ],
)
def test_a_task_asks_the_engine_once_with_what_the_line_says(
    engine: Engine, line: str, verb: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    assert fab(*line.split()) == 0
    assert engine.asked == [(verb, arguments, options)]


def test_what_a_run_did_is_printed(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ("deploy", "rollback", "restart", "join web1"):
        assert fab(*line.split()) == 0
        assert capsys.readouterr().out.strip() == show.summary(SUMMARY)


@pytest.mark.parametrize("task", ["releases", "status"])
def test_json_is_all_that_a_program_gets(engine: Engine, capsys: pytest.CaptureFixture[str], task: str) -> None:
    assert fab(task, "--json") == 0
    assert json.loads(capsys.readouterr().out)["release"] == SUMMARY.release
    assert fab(task) == 0
    assert capsys.readouterr().out.strip() == f"text of {SUMMARY.release}", "the control"


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("deploy --canary soon", "--canary 5m"),
        ("deploy --budget 1", "--budget 1%"),
        ("deploy --wait=long", "--wait 90s"),
        ("maintenance", "fab maintenance --on, or fab maintenance --off"),
        ("maintenance --on --off", "fab maintenance --on, or fab maintenance --off"),
        ("maintenance --on --retry-after x", "--retry-after 5m"),
        ("logs --lines 0", "--lines 200"),
        ("logs --since yesterday", "--since 5m"),
    ],
)
def test_a_line_that_cannot_be_meant_ends_with_2_and_how_to_write_it(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str, part: str
) -> None:
    from deploy import inventory

    monkeypatch.setattr(inventory, "load", lambda env: SimpleNamespace(env=env))
    assert fab(*line.split()) == 2
    assert part in capsys.readouterr().err
    assert engine.asked == []


def test_a_failure_is_its_message_and_code(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    engine.error = LockedError("ada holds the lock", "web1", "wait")
    assert fab("deploy") == 13
    assert capsys.readouterr().err.strip() == "web1: ada holds the lock\n  mend: wait"


def test_a_defect_ends_with_12_and_keeps_its_traceback_in_a_file(
    engine: Engine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from deploy.tasks import guard

    monkeypatch.setattr(guard, "ROOT", tmp_path)
    engine.error = ZeroDivisionError("division by zero")
    assert fab("rollback") == 12
    said = capsys.readouterr().err
    assert "a defect of Nexus: ZeroDivisionError" in said
    assert "Traceback" not in said
    (log,) = (tmp_path / "build/logs").iterdir()
    assert "Traceback" in log.read_text()
    assert str(log) in said


def test_an_interruption_ends_with_130(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "__getattr__", lambda self, verb: interrupted)
    assert fab("deploy") == 130


def test_every_task_is_short() -> None:
    found = 0
    for path in (ROOT / "deploy/tasks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any("guarded" in ast.dump(each) for each in node.decorator_list):
                found += 1
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines <= LONGEST, f"{path.name}: {node.name} has {lines} lines"
    assert found == len(namespace.task_names)


def test_every_option_of_every_task_is_explained() -> None:
    code = (
        "from deploy.tasks import namespace\n"
        "print([(name, each.name) for name in namespace.task_names\n"
        "       for each in namespace[name].get_arguments() if not each.help])"
    )  # in a process of its own: invoke takes the explanations out of a task when it first reads them
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("needed", ["deploy.tasks", "deploy.tasks, deploy.release.rotation"])
def test_listing_the_tasks_or_draining_a_host_does_not_wait_for_what_only_some_need(needed: str) -> None:
    heavy = {"deploy.release.engine", "ansible", "boto3", "jinja2", "rich", "click", "uv", "httpx"}
    code = f"import sys; import {needed}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_httpx_comes_without_its_command_line() -> None:
    code = "import sys; import deploy.tasks; import httpx; sys.exit('click' in sys.modules or 'rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    control = "import sys; import httpx; sys.exit('click' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", control], cwd=ROOT, check=False).returncode == 1, "the control"
