"""The tasks' command line, called as a person calls it."""

from __future__ import annotations

from invoke.program import Program

from deploy.tasks import namespace


def fab(*words: str) -> int:
    """Run a command line; its exit code."""
    try:
        Program(namespace=namespace, version="0").run(["fab", *words])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0
