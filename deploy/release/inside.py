"""Runs under the hosts' Python, in the build folder: compiles, collects static files, classes migrations.

Called as `<release_python> <a copy of this file> ACTION ARGUMENT...`, with the build folder as working
directory and only paths below it, so that `release_python` may be a command that enters another root. It runs
on that Python alone and imports nothing of the engine but a copy of classify.py beside it.
"""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path


def version() -> None:
    """Print this Python's version, such as 3.13.5."""
    print(".".join(map(str, sys.version_info[:3])))


def compile_tree(folder: str, installed: str) -> None:
    """Compile all modules below `folder`; `installed` is where it will lie on the hosts (for tracebacks).

    The compiled files are trusted unchecked: releases are immutable, and times differ between builds.
    """
    os.chdir(folder)
    done = compileall.compile_dir(
        ".",
        quiet=1,
        stripdir=".",
        prependdir=installed,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    # some packages carry templates of modules that are no Python; only our own code has to compile
    sys.exit(0 if done else 3)


def collect(code: str, site_packages: str, static: str, settings: str) -> None:
    """Collect static files into `static`; print what classify.py finds as the last line.

    {"migrations": {"app.name": {"class", "since"}}, "problems": [text, …]}
    """
    sys.dont_write_bytecode = True
    classify = import_module("classify").classify  # before the application's own modules can be meant
    sys.path[:0] = [str(Path(code).resolve()), str(Path(site_packages).resolve())]
    os.environ.update(
        BOOKING_BUILD="1", BOOKING_STATIC_ROOT=str(Path(static).resolve()), DJANGO_SETTINGS_MODULE=settings
    )
    os.chdir(code)
    # by name: Django belongs to the application, which the controller does not install
    import_module("django").setup()
    import_module("django.core.management").call_command("collectstatic", interactive=False, verbosity=0)
    migrations, problems = classify()
    print(json.dumps({"migrations": migrations, "problems": problems}))


if __name__ == "__main__":
    actions: dict[str, Callable[..., None]] = {
        "version": version,
        "compile": compile_tree,
        "collect": collect,
    }
    actions[sys.argv[1]](*sys.argv[2:])
