"""The dependencies of a release: resolved for the hosts' Python and platform, compiled, packed, once for each lock."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import uv

from deploy.errors import UnchangedError
from deploy.release.interpreter import Interpreter, checked
from deploy.release.packing import SUFFIX, measure, pack
from deploy.release.settings import Settings

LOCK = "requirements.txt"
SUM = "sha256"  # file beside the packed dependencies
PACKED = f"venv{SUFFIX}"
TREE = "tree"  # folder beside them: what was packed


def key(lock: bytes, settings: Settings, recipe: int) -> str:
    """The name of a set of dependencies: 16 digits that change with the lock, the Python, the platform, the recipe."""
    what = [hashlib.sha256(lock).hexdigest(), settings.python_version, settings.platform, str(recipe)]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()[:16]


def site_packages(settings: Settings) -> str:
    """Where modules lie inside the dependencies' folder."""
    return f"lib/python{settings.python_version}/site-packages"


def make(code: Path, work: Path, below: Path, settings: Settings, recipe: int, python: Interpreter) -> Path:
    """The folder below `below` with the packed dependencies of the application in `code`, and the tree beside them.

    Taken as it is when it is whole. UnchangedError: the application has no lock, or a step failed.
    """
    lock = code / LOCK
    if not lock.exists():
        raise UnchangedError("the application has no lock of its dependencies", f"app/{LOCK}", "uv pip compile")
    name = key(lock.read_bytes(), settings, recipe)
    final = below / name
    if _whole(final):
        return final
    ready = work / "deps"
    packages = ready / TREE / site_packages(settings)
    packages.parent.mkdir(parents=True)
    checked(
        [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(packages),
         "--python-version", settings.python_version, "--python-platform", settings.platform, "--no-deps",
         "--only-binary", ":all:", "--require-hashes", "--link-mode", "copy", "--requirements", str(lock)],
        cwd=work, what="installing the dependencies",
    )  # fmt: skip
    _strip(packages)
    (ready / TREE / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {settings.python_version}\n"
    )
    python.run("compile", python.inner(ready / TREE), f"/srv/booking/venvs/{name}", what="compiling", allowed=(0, 3))
    (ready / SUM).write_text(pack(ready / TREE, ready / PACKED).sha256)
    below.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    ready.rename(final)
    return final


def _whole(folder: Path) -> bool:
    """Whether a folder of dependencies has its part, as it was packed."""
    try:
        return measure(folder / PACKED).sha256 == (folder / SUM).read_text()
    except OSError:
        return False


def _strip(packages: Path) -> None:
    """Take out what uv writes of this machine (console scripts carry the path of its Python), and the sources of
    translations: a fifth of the files, and no program reads them."""
    shutil.rmtree(packages / "bin", ignore_errors=True)
    (packages / ".lock").unlink(missing_ok=True)
    for source in packages.rglob("*.po"):
        source.unlink()
    for record in packages.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not _stripped(line.partition(",")[0])))


def _stripped(name: str) -> bool:
    return name.startswith(("bin/", "../../bin/")) or name.endswith(".po")
