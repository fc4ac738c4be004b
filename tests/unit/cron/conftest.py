"""A worker host to run jobs on, and a database for the hosts to agree in."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploy.specs import ROOT

USER = "booking"


@pytest.fixture(scope="session")
def database() -> Iterator[Any]:
    """A running PostgreSQL with the service's database; `directory` is the host to connect to."""
    made = module("booking_postgres", ROOT / "app/tests/postgres.py").Cluster()
    try:
        made.start()
        made.run("createdb", f"--host={made.directory}", f"--username={USER}", USER)
        yield made
    finally:
        made.remove()


@pytest.fixture
def sql(database: Any) -> Iterator[Callable[[str], str]]:
    """Asks the database; afterwards nothing of the jobs is in it."""

    def ask(statement: str) -> str:
        words = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(database.directory), "-U", USER, "-c", statement]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    yield ask
    ask("DROP SCHEMA IF EXISTS cron CASCADE")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The program's modules as the role puts them on a host, importable."""
    folder = tmp_path / "cron-once/cron_once"
    folder.mkdir(parents=True)
    for path in [*(ROOT / "roles/cron/files/cron_once").glob("*.py"), ROOT / "deploy/schedule.py"]:
        (folder / path.name).symlink_to(path)
    for name in [name for name in sys.modules if name.split(".")[0] == "cron_once"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(ROOT / "roles/booking_app/files"))
    monkeypatch.syspath_prepend(str(folder.parent))
    return folder.parent


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A converged host's root folder; who calls setpriv stays who he is."""
    top = tmp_path / "root"
    for name, text in {
        "etc/booking/environment": "".join(
            f"BOOKING_DATABASE_{key}={value}\n" for key, value in {
                "HOST": tmp_path, "PORT": 5432, "NAME": USER, "USER": USER, "SSLMODE": "disable", "SSLROOTCERT": "",
            }.items()
        ),
        "etc/booking/credentials/database_password": "p4ss\n",
        "bin/setpriv": '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n',
    }.items():  # fmt: skip
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    (top / "bin/setpriv").chmod(0o755)
    (top / "metrics").mkdir()
    monkeypatch.setenv("PATH", f"{top}/bin:{os.environ['PATH']}")
    newest = max(Path("/usr/lib/postgresql").glob("*/bin/psql"), default=Path("/usr/bin/psql"))
    (top / "usr/lib/postgresql/17/bin").mkdir(parents=True)
    (top / "usr/lib/postgresql/17/bin/psql").symlink_to(newest)
    return top


@pytest.fixture
def claims(library: Path, root: Path, database: Any, sql: Callable[[str], str]) -> Any:
    """The lock, in a database that knows nothing of it yet."""
    path = root / "etc/booking/environment"
    path.write_text(path.read_text().replace(f"HOST={root.parent}\n", f"HOST={database.directory}\n"))
    from booking_release.layout import Layout
    from cron_once.claims import Claims

    return Claims(Layout(root))


@pytest.fixture
def configure(root: Path) -> Callable[..., Path]:
    """Writes what the role cron tells the program: jobs, each by what differs from a plain one."""

    def write(*jobs: dict[str, Any], host: str = "web1") -> Path:
        plain = {"name": "job", "schedule": "* * * * *", "command": "true", "user": whoami(), "timeout_seconds": 20,
                 "needs": ""}  # fmt: skip
        told = {"host": host, "metrics_directory": str(root / "metrics"), "jobs": [plain | job for job in jobs]}
        path = root / "cron-once.json"
        path.write_text(json.dumps(told))
        return path

    return write


def whoami() -> str:
    """Who runs the tests."""
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def module(name: str, path: Path) -> ModuleType:
    """A file as a module."""
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    found = importlib.util.module_from_spec(spec)
    loader.exec_module(found)
    return found
