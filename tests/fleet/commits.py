"""Commits to deploy, made of the present one by git's plumbing: no branch, no index and no file knows them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from deploy.release import source
from tests.fleet.load import SLOW_PATH

ROOT = Path(__file__).resolve().parents[2]

# What every commit of the tests has beside its own changes: an answer that takes its time.
SLOW = f"""

import json as _json
from time import sleep as _sleep

from django.http import JsonResponse as _JsonResponse
from django.views.decorators.csrf import csrf_exempt as _csrf_exempt


@_csrf_exempt
def _slow(request):
    _sleep(min(_json.loads(request.body)["seconds"], 20))
    return _JsonResponse({{"slow": True}})


urlpatterns.append(path({SLOW_PATH.lstrip("/")!r}, _slow))
"""
URLS = "app/config/urls.py"

_stamps: list[int] = []


def make(message: str, files: Mapping[str, str | None] | None = None, root: Path = ROOT) -> str:
    """The id of a new commit: the present tree with some files replaced (None: deleted), whatever the work tree says.

    *files*: path from the repository's root to the whole new contents. Each commit made by one process is at least
    a second younger than the one before, so that release ids sort as they were made.
    """
    changes = {URLS: present(URLS, root) + SLOW, **(files or {})}
    _stamps.append(max(int(time.time()), *(stamp + 1 for stamp in _stamps[-1:]), 0))
    who = {"NAME": "test", "EMAIL": "test@example.org", "DATE": f"{_stamps[-1]} +0000"}
    environment = os.environ | {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER")
                                for key, value in who.items()}
    with tempfile.TemporaryDirectory() as folder:
        environment["GIT_INDEX_FILE"] = f"{folder}/index"

        def git(*arguments: str, stdin: str = "") -> str:
            return subprocess.run(
                ["git", *arguments], cwd=root, env=environment, input=stdin, check=True, capture_output=True, text=True
            ).stdout.strip()

        git("read-tree", "HEAD")
        for path, text in changes.items():
            if text is None:
                git("update-index", "--force-remove", path)
            else:
                blob = git("hash-object", "-w", "--stdin", stdin=text)
                git("update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        return git("commit-tree", git("write-tree"), "-p", "HEAD", "-m", message)


def present(path: str, root: Path = ROOT) -> str:
    """A file's contents in the present commit."""
    done = subprocess.run(["git", "show", f"HEAD:{path}"], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def release(commit: str, root: Path = ROOT) -> str:
    """The id of the release that a commit makes."""
    return source.resolve(root, commit).release


def migration(operations: str, *, after: str, declares: str = "") -> str:
    """A migration of the app `listings` that follows *after*; *operations* are the elements of its list.

    *declares*: a line of the module, such as `EXPAND = "why"`.
    """
    return (
        f"from django.db import migrations, models\n\n{declares}\n\n\nclass Migration(migrations.Migration):\n"
        f'    dependencies = [("listings", {after!r})]\n    operations = [{operations}]\n'
    )


def last_migration(app: str = "listings", root: Path = ROOT) -> str:
    """The name of the last migration of an application's app in the present commit."""
    done = subprocess.run(
        ["git", "ls-tree", "--name-only", "HEAD", f"app/booking/{app}/migrations/"],
        cwd=root, check=True, capture_output=True, text=True,
    )
    return max(name for line in done.stdout.splitlines() if (name := Path(line).stem)[:4].isdecimal())
