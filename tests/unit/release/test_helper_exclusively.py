"""The program that holds the advisory lock, with a stand-in for the driver: one migration at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .machine import HELPER

# psycopg: keeps what it is asked in a file
DRIVER = """
import os
class errors:
    class LockNotAvailable(Exception): pass
class Connection:
    def __enter__(self): return self
    def __exit__(self, *_): self.say("closed")
    def say(self, text): open(os.environ["SAID"], "a").write(" ".join(text.split()) + "\\n")
    def execute(self, text, parameters=()):
        self.say(text)
        if "pg_advisory_lock" in text and os.environ.get("TAKEN"): raise errors.LockNotAvailable()
def connect(**settings):
    assert settings["autocommit"] and settings["password"] == "pw", settings
    return Connection()
"""


@pytest.fixture
def run(tmp_path: Path):  # type: ignore[no-untyped-def] # a function of words and variables
    (tmp_path / "driver").mkdir()
    (tmp_path / "driver/psycopg.py").write_text(DRIVER)
    (tmp_path / "database_password").write_text("pw\n")
    names = ("HOST", "PORT", "NAME", "USER", "SSLMODE", "SSLROOTCERT")
    fixed = {f"BOOKING_DATABASE_{name}": "x" for name in names} | {
        "CREDENTIALS_DIRECTORY": str(tmp_path), "PYTHONPATH": str(tmp_path / "driver"), "SAID": str(tmp_path / "said"),
    }  # fmt: skip

    def call(*words: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        done = subprocess.run(
            [sys.executable, str(HELPER / "exclusively"), *words], env={**os.environ, **fixed, **variables},
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        return done, (tmp_path / "said").read_text().splitlines()

    return call


def test_a_command_runs_while_the_advisory_lock_is_held(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "beside.py").touch()
    (tmp_path / "manage.py").write_text(
        "import beside, os, sys\nopen(os.environ['SAID'], 'a').write(f'{__name__} {sys.argv}\\n')\nsys.exit(7)"
    )
    done, said = run("manage.py", "migrate", "--noinput")
    assert done.returncode == 7, done.stderr
    assert said == [
        "SET lock_timeout = '10s'", "SELECT pg_advisory_lock(%s)",
        "__main__ ['manage.py', 'migrate', '--noinput']", "closed",
    ]  # fmt: skip


def test_a_command_does_not_run_while_another_holds_the_lock(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "manage.py").write_text("import os\nopen(os.environ['SAID'], 'a').write('program')")
    done, said = run("manage.py", TAKEN="1")
    assert done.returncode == 1
    assert "another migration has held the advisory lock" in done.stderr
    assert "program" not in said
