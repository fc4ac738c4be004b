"""A repository with a small application in it: what the build asks of Django, and nothing else."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.errors import NexusError
from deploy.release import artefact, source
from deploy.release.settings import Settings

from .fleet import SETTINGS

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# with a stand-in for Django inside
APPLICATION = {
    "requirements.txt": "",
    "config/settings.py": "",
    "config/__init__.py": "",
    "tool.sh": "#!/bin/sh\n",
    "django/__init__.py": "def setup(): pass\n",
    "django/core/__init__.py": "",
    "django/core/management.py": (
        "import os, pathlib\n"
        "def call_command(name, **options):\n"
        "    assert os.environ['BOOKING_BUILD'] == '1'\n"
        "    assert os.environ['DJANGO_SETTINGS_MODULE'] == 'config.settings'\n"
        "    root = pathlib.Path(os.environ['BOOKING_STATIC_ROOT']); root.mkdir()\n"
        "    (root / 'staticfiles.json').write_text('{\"paths\": {}}')\n"
    ),
    "django/conf.py": "class settings: pass\n",
    "django/db/__init__.py": "",
    "django/db/migrations/__init__.py": "",
    "django/db/migrations/loader.py": (
        "import importlib, pathlib, types\n"
        "class MigrationLoader:\n"
        "    def __init__(self, connection, replace_migrations=True):\n"
        "        names = [path.stem for path in pathlib.Path('shop/migrations').glob('0*.py')]\n"
        "        module = lambda name: importlib.import_module(f'shop.migrations.{name}')\n"
        "        self.disk_migrations = {('shop', name): module(name).Migration() for name in names}\n"
        "        self.graph = types.SimpleNamespace(nodes=self.disk_migrations)\n"
        "    def project_state(self, key, at_end):\n"
        "        return types.SimpleNamespace(models={})\n"
    ),
    "django/db/migrations/operations.py": (
        "class RemoveField:\n"
        "    model_name = 'product'\n"
        "    def describe(self): return 'Remove field name from product'\n"
        "    def state_forwards(self, app, state): pass\n"
    ),
    "shop/migrations/0001_initial.py": (
        "class Migration:\n    app_label, initial, dependencies, operations = 'shop', True, [], []\n"
    ),
    "shop/migrations/0002_more.py": (
        "class Migration:\n    app_label, initial, dependencies, operations = 'shop', None, [], []\n"
    ),
}
SINCE = "20261101T000000Z-0000001"
DROP = """
from django.db.migrations.operations import RemoveField
{declares}
class Migration:
    app_label, initial, dependencies = 'shop', None, [('shop', '0002_more')]
    operations = [RemoveField()]
"""


def git(repository: Path, *words: str, date: str = "2026-11-20T10:15:00Z") -> str:
    """Run git as somebody, at a fixed time."""
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    done = subprocess.run(
        ["git", "-C", str(repository), *words],
        env=identity | {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def repository(folder: Path) -> Path:
    """A repository with one commit, below a folder."""
    root = folder / "repository"
    for name, text in APPLICATION.items():
        (root / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "app" / name).write_text(text)
    (root / "app/tool.sh").chmod(0o755)
    git(folder, "init", "-q", "-b", "main", str(root))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "one")
    return root


def settings(python: str = sys.executable, version: str = VERSION) -> Settings:
    """Settings whose hosts have this very Python, so that the test needs no other."""
    return dataclasses.replace(SETTINGS, python=python, python_version=version)


def build(repository: Path, out: Path, python: str = sys.executable, version: str = VERSION) -> artefact.Artefact:
    """Build HEAD."""
    out.mkdir(exist_ok=True)
    return artefact.build(repository, source.resolve(repository, "HEAD"), settings(python, version), out)


def sums(built: artefact.Artefact) -> dict[str, str]:
    """sha256 of each part."""
    return {name: part.sha256 for name, part in built.parts.items()}


def commit(repository: Path, files: dict[str, str], message: str = "two") -> None:
    """Commit the application's files with these contents."""
    for name, text in files.items():
        (repository / "app" / name).write_text(text)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", message)


def fails(repository: Path, out: Path, **options: str) -> NexusError:
    """The error that a build ends with."""
    with pytest.raises(NexusError) as caught:
        build(repository, out, **options)
    return caught.value
