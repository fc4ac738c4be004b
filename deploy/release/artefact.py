"""Builds a release once, on the controller: code, dependencies and static files as parts with their sha256.

The same commit gives the same bytes. Nothing of the time, the place or the person of the build is in them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv

from deploy.errors import UnchangedError
from deploy.release import inside, source
from deploy.release.packing import SUFFIX, Part, measure, pack
from deploy.release.settings import Settings
from deploy.release.source import Commit

LOCK = "requirements.txt"
DJANGO_SETTINGS = "config.settings"
RECIPE = 1  # raise it whenever this file changes what is built, so that no cached part of the old way is used
PARTS = ("code", "static")
SUM = "sha256"  # file beside the packed dependencies
LINES_SHOWN = 15


@dataclass(frozen=True)
class Artefact:
    """A built release: what it is called, its manifest (JSON), and its parts: code, static, venv."""

    release: str
    manifest: Mapping[str, Any]
    parts: Mapping[str, Part]

    @property
    def size(self) -> int:
        """Bytes of all parts, compressed."""
        return sum(part.size for part in self.parts.values())


def build(repository: Path, commit: Commit, settings: Settings, out: Path) -> Artefact:
    """The artefact of a commit below the folder `out`: built, or taken from there when it is whole.

    UsageError: the commit has no application or no lock. UnchangedError: no usable Python, or a step failed.
    """
    if cached := _cached(out, commit, settings):
        return cached
    work = out / "work" / f"{commit.release}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        source.extract(repository, commit, work / "code")
        python = _Python(settings, out, work)
        venv = _dependencies(work, settings, out, python)
        return _assemble(commit, settings, out, work, python, venv)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def venv_key(lock: bytes, settings: Settings) -> str:
    """The name of a set of dependencies: 16 digits that change with the lock, the Python and the platform."""
    what = [hashlib.sha256(lock).hexdigest(), settings.python_version, settings.platform, str(RECIPE)]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()[:16]


def site_packages(settings: Settings) -> str:
    """Where modules lie inside the dependencies' folder."""
    return f"lib/python{settings.python_version}/site-packages"


def _assemble(commit: Commit, settings: Settings, out: Path, work: Path, python: _Python, venv: str) -> Artefact:
    tree = out / "deps" / venv / "tree"
    said = python.run(
        "collect", python.inner(work / "code"), python.inner(tree / site_packages(settings)),
        python.inner(work / "static"), DJANGO_SETTINGS, what="collecting static files",
    )  # fmt: skip
    if not (work / "static/staticfiles.json").exists():
        raise UnchangedError(
            "collectstatic wrote no staticfiles.json",
            "app/config/settings.py",
            "use a ManifestStaticFilesStorage",
        )
    python.run(
        "compile",
        python.inner(work / "code"),
        f"/srv/booking/releases/{commit.release}",
        what="compiling the code",
    )
    ready = work / "artefact"
    ready.mkdir()
    parts = {name: pack(work / name, ready / f"{name}{SUFFIX}") for name in PARTS}
    parts["venv"] = measure(out / "deps" / venv / f"venv{SUFFIX}")
    manifest = {
        "id": commit.release,
        "commit": commit.sha,
        "python": settings.python_version,
        "platform": settings.platform,
        "recipe": RECIPE,
        "venv": venv,
        "parts": {name: {"sha256": part.sha256, "size": part.size} for name, part in sorted(parts.items())},
        "migrations": json.loads(said.splitlines()[-1])["migrations"],
    }
    (ready / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    final = out / "artefacts" / commit.release
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    ready.rename(final)
    return _load(final, out)


def _load(folder: Path, out: Path) -> Artefact:
    manifest = json.loads((folder / "manifest.json").read_text())
    paths = {name: folder / f"{name}{SUFFIX}" for name in PARTS}
    paths["venv"] = out / "deps" / manifest["venv"] / f"venv{SUFFIX}"
    return Artefact(manifest["id"], manifest, {name: measure(path) for name, path in paths.items()})


def _cached(out: Path, commit: Commit, settings: Settings) -> Artefact | None:
    """What an earlier build left, if every part is there and still has its sha256; else None."""
    try:
        found = _load(out / "artefacts" / commit.release, out)
    except (OSError, ValueError, KeyError):
        return None
    wanted = {
        "commit": commit.sha,
        "python": settings.python_version,
        "platform": settings.platform,
        "recipe": RECIPE,
    }
    whole = all(found.manifest["parts"][name]["sha256"] == part.sha256 for name, part in found.parts.items())
    return found if whole and all(found.manifest.get(key) == value for key, value in wanted.items()) else None


def _dependencies(work: Path, settings: Settings, out: Path, python: _Python) -> str:
    """Resolve, compile and pack the dependencies, once for each lock; answers their key."""
    lock = work / "code" / LOCK
    if not lock.exists():
        raise UnchangedError("the application has no lock of its dependencies", f"app/{LOCK}", "uv pip compile")
    key = venv_key(lock.read_bytes(), settings)
    final = out / "deps" / key
    if _whole(final):
        return key
    ready = work / "deps"
    packages = ready / "tree" / site_packages(settings)
    packages.parent.mkdir(parents=True)
    _checked(
        [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(packages),
         "--python-version", settings.python_version, "--python-platform", settings.platform, "--no-deps",
         "--only-binary", ":all:", "--require-hashes", "--link-mode", "copy", "--requirements", str(lock)],
        cwd=work, what="installing the dependencies",
    )  # fmt: skip
    _strip_controller(packages)
    (ready / "tree/pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {settings.python_version}\n"
    )
    python.run("compile", python.inner(ready / "tree"), f"/srv/booking/venvs/{key}", what="compiling", allowed=(0, 3))
    (ready / SUM).write_text(pack(ready / "tree", ready / f"venv{SUFFIX}").sha256)
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    ready.rename(final)
    return key


def _whole(folder: Path) -> bool:
    """Whether a folder of dependencies has its part, as it was packed."""
    try:
        return measure(folder / f"venv{SUFFIX}").sha256 == (folder / SUM).read_text()
    except OSError:
        return False


def _strip_controller(packages: Path) -> None:
    """Take out what uv writes of this machine: console scripts carry the path of its Python."""
    shutil.rmtree(packages / "bin", ignore_errors=True)
    (packages / ".lock").unlink(missing_ok=True)
    for record in packages.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(("bin/", "../../bin/"))))


class _Python:
    """The hosts' Python on the controller: `release_python`. It sees only what is below the build folder."""

    def __init__(self, settings: Settings, root: Path, work: Path) -> None:
        self.settings, self.root = settings, root
        self.script = work / "inside.py"
        shutil.copyfile(inside.__file__, self.script)
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
        return _checked(command, cwd=self.root, what=what, allowed=allowed)


def _checked(command: Sequence[str], *, cwd: Path, what: str, allowed: Sequence[int] = (0,)) -> str:
    """Run a step of the build. The person's own Python and Django settings do not reach it."""
    ours = ("PYTHON", "DJANGO", "BOOKING", "VIRTUAL_ENV")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    environment |= {"PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in allowed:
        last = "\n    ".join((done.stdout + done.stderr).splitlines()[-LINES_SHOWN:])
        raise UnchangedError(f"{what} failed (exit code {done.returncode}):\n    {last}")
    return done.stdout
