"""The hosts' Python on the controller (`release_python`), and the steps of a build as processes."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.errors import UnchangedError
from deploy.release import classify, inside
from deploy.release.settings import Settings

LINES_SHOWN = 15


class Interpreter:
    """A command that runs the hosts' Python. It sees only what is below the build folder `root`.

    UnchangedError: it does not run, or is another Python.
    """

    def __init__(self, settings: Settings, root: Path, work: Path) -> None:
        self.settings, self.root = settings, root
        tools = work / "tools"  # a folder of its own: Python looks for modules beside the script
        tools.mkdir()
        self.script = tools / "inside.py"
        for module in (inside, classify):
            shutil.copy(str(module.__file__), tools)
        try:
            version = self.run("version", what=f"running {settings.python}").strip()
        except OSError as error:
            raise self._unusable(f"does not run: {error.strerror}") from None
        except UnchangedError as error:
            raise self._unusable(f"does not run: {error.what.splitlines()[-1].strip()}") from None
        if version.rpartition(".")[0] != settings.python_version:
            raise self._unusable(f"is Python {version}, and the hosts have {settings.python_version}")

    def _unusable(self, why: str) -> UnchangedError:
        wanted = self.settings.python_version
        return UnchangedError(
            f"release_python ({self.settings.python}) {why}", f"inventories/{self.settings.env}",
            f"uv python install {wanted} (with ~/.local/bin on PATH), or set release_python to a {wanted}",
        )  # fmt: skip

    def inner(self, path: Path) -> str:
        """A path as the Python sees it: relative to the build folder."""
        return str(path.relative_to(self.root))

    def run(self, action: str, *arguments: str, what: str, allowed: Sequence[int] = (0,)) -> str:
        """Run one action of inside.py; answers what it printed. UnchangedError: it failed."""
        command = [*shlex.split(self.settings.python), self.inner(self.script), action, *arguments]
        return checked(command, cwd=self.root, what=what, allowed=allowed)


def checked(command: Sequence[str], *, cwd: Path, what: str, allowed: Sequence[int] = (0,)) -> str:
    """Run a step of the build; answers what it printed. The person's own Python and Django settings do not reach it.

    UnchangedError: an exit code that is not `allowed`, with the last lines of its output.
    """
    ours = ("PYTHON", "DJANGO", "BOOKING", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in allowed:
        last = "\n    ".join((done.stdout + done.stderr).splitlines()[-LINES_SHOWN:])
        raise UnchangedError(f"{what} failed (exit code {done.returncode}):\n    {last}")
    return done.stdout
