"""The program that asks the database, with a stand-in for its driver: one migration at a time, whoever starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .machine import HELPER

# psycopg: keeps what it is asked in a file, and answers by the first words of a statement
DRIVER = """
import os
class errors:
    class LockNotAvailable(Exception): pass
class Rows(list):
    def fetchone(self): return self[0]
    def fetchall(self): return list(self)
class Connection:
    def __enter__(self): return self
    def __exit__(self, *_): self.say("closed")
    def say(self, text): open(os.environ["SAID"], "a").write(" ".join(text.split()) + "\\n")
    def execute(self, text, parameters=()):
        self.say(text)
        if "pg_advisory_lock" in text and os.environ.get("TAKEN"): raise errors.LockNotAvailable()
        if "to_regclass" in text: return Rows([[os.environ.get("TABLE") or None]])
        if "pg_locks" in text: return Rows([[os.environ.get("HELD") == str(*parameters)]])
        if "FROM django_migrations" in text: return Rows([["shop.0002_b"], ["shop.0001_a"]])
        if "max_connections" in text: return Rows([[100, 3, 7]])
        return Rows([[42, 9.04, "booking", "idle in transaction"]])
def connect(**settings):
    assert settings["autocommit"] and settings["password"] == "pw", settings
    return Connection()
"""


@pytest.fixture
def run(tmp_path: Path):  # type: ignore[no-untyped-def] # a function of words and variables
    (tmp_path / "psycopg.py").write_text(DRIVER)
    (tmp_path / "database_password").write_text("pw\n")
    names = ("HOST", "PORT", "NAME", "USER", "SSLMODE", "SSLROOTCERT")
    fixed = {f"BOOKING_DATABASE_{name}": "x" for name in names} | {
        "CREDENTIALS_DIRECTORY": str(tmp_path), "PYTHONPATH": str(tmp_path), "SAID": str(tmp_path / "said"),
    }  # fmt: skip

    def call(*words: str, **variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        done = subprocess.run(
            [sys.executable, str(HELPER / "database"), *words], env={**os.environ, **fixed, **variables},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done, (tmp_path / "said").read_text().splitlines()

    return call


def test_the_database_says_what_it_has_applied_and_how_much_room_it_has(run) -> None:  # type: ignore[no-untyped-def]
    done, _ = run("--facts", TABLE="django_migrations")
    assert json.loads(done.stdout) == {
        "applied": ["shop.0001_a", "shop.0002_b"], "max_connections": 100, "reserved": 3, "connections": 7,
        "long": [{"pid": 42, "seconds": 9.0, "user": "booking", "state": "idle in transaction"}],
        "migrating": False,
    }  # fmt: skip


def test_before_the_first_migration_nothing_is_applied(run) -> None:  # type: ignore[no-untyped-def]
    """kamal 1652, 1700, 1180: the first deploy finds no table."""
    done, said = run("--facts")
    assert json.loads(done.stdout)["applied"] == []
    assert not [line for line in said if "FROM django_migrations" in line]


def test_a_migration_that_somebody_left_behind_is_told(run) -> None:  # type: ignore[no-untyped-def]
    """Its run was cut off, it was not: what it applies is not among what is applied yet."""
    done, said = run("--facts", HELD=str(int.from_bytes(b"booking")))
    assert json.loads(done.stdout)["migrating"] is True
    assert "pg_advisory_lock" not in "".join(said), "the question takes no lock"


def test_a_command_runs_while_the_advisory_lock_is_held(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done, said = run("--exclusively", "sh", "-c", f"echo command >> {tmp_path}/said; exit 7")
    assert done.returncode == 7
    assert said == ["SET lock_timeout = '10s'", "SELECT pg_advisory_lock(%s)", "command", "closed"]


def test_a_command_does_not_run_while_another_holds_the_lock(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done, said = run("--exclusively", "sh", "-c", f"echo command >> {tmp_path}/said", TAKEN="1")
    assert done.returncode == 1
    assert "another migration has held the advisory lock" in done.stderr
    assert "command" not in said
