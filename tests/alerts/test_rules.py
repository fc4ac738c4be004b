"""The alerts, by Prometheus' own checker: each file of rules is sound, and each says what it should when it should."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest

from deploy.specs import ROOT

RULES = ROOT / "templates/etc/prometheus/rules"
TESTS = Path(__file__).parent


def rendered(name: str) -> str:
    """A file of rules as a host has it."""
    loader = jinja2.FileSystemLoader(RULES)
    environment = jinja2.Environment(loader=loader, trim_blocks=True, autoescape=False)
    return environment.get_template(f"{name}.j2").render()


@pytest.mark.parametrize("path", sorted(RULES.glob("*.yml.j2")), ids=lambda path: path.name)
def test_rules_are_sound_and_their_alerts_fire_when_they_should(path: Path, tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: .venv/bin/python -m tests.programs"
    rules = tmp_path / path.stem
    rules.write_text(rendered(path.stem))
    shutil.copy(TESTS / f"{rules.stem}.test.yml", tmp_path)
    for command in (["check", "rules", str(rules)], ["test", "rules", str(tmp_path / f"{rules.stem}.test.yml")]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
