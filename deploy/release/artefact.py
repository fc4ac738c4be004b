"""Builds a release once, on the controller: code, dependencies and static files as parts with their sha256.

The same commit gives the same bytes. Nothing of the time, the place or the person of the build is in them: that
lies beside them, for the ledger. The folder of an artefact holds all of it and may be carried to another machine.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.errors import UnchangedError
from deploy.release import dependencies, source
from deploy.release.dependencies import TREE, site_packages
from deploy.release.interpreter import Interpreter
from deploy.release.migrations import Migration, unready
from deploy.release.packing import SUFFIX, Part, measure, pack
from deploy.release.settings import Settings
from deploy.release.source import Commit

DJANGO_SETTINGS = "config.settings"
RECIPE = 3  # raise it whenever what is built changes, so that no cached part of the old way is used
OURS = ("code", "static")
PARTS = (*OURS, "venv")
MANIFEST, BUILT = "manifest.json", "built.json"  # what is sent; who built it and when, which is not
RELEASE = re.compile(r"\d{8}T\d{6}Z-([0-9a-f]{7})")


@dataclass(frozen=True)
class Artefact:
    """A built release: what it is called, its manifest (JSON), and its parts: code, static, venv.

    built_by ("user@machine") and built_at (ISO 8601, UTC) are no part of the bytes; the ledger keeps them.
    sha256: of the manifest's file, which has that of every part; it names the artefact as a whole.
    """

    release: str
    manifest: Mapping[str, Any]
    parts: Mapping[str, Part]
    sha256: str = ""
    built_by: str = ""
    built_at: str = ""

    @property
    def size(self) -> int:
        """Bytes of all parts, compressed."""
        return sum(part.size for part in self.parts.values())


def build(repository: Path, commit: Commit, settings: Settings, out: Path) -> Artefact:
    """The artefact of a commit below the folder `out`: built, or taken from there when it is whole.

    UsageError: the commit has no application. UnchangedError: no usable Python, no lock, a step failed, or a
    migration takes away what older releases use and does not say so.
    """
    if cached := _cached(out, commit, settings):
        return cached
    work = out / "work" / f"{commit.release}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        source.extract(repository, commit, work / "code")
        python = Interpreter(settings, out, work)
        return _assemble(commit, settings, out, work, python)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def load(folder: Path) -> Artefact:
    """An artefact's folder, built here or elsewhere, once every part has the size and sha256 of its manifest.

    UnchangedError: something is missing, truncated or tampered with, or an engine of another recipe built it.
    """
    again = "build it again, or fetch it again from where it was built"
    try:
        text = (folder / MANIFEST).read_bytes()
        manifest = json.loads(text)
        told = {name: (str(manifest["parts"][name]["sha256"]), int(manifest["parts"][name]["size"])) for name in PARTS}
        release, commit, recipe = str(manifest["id"]), str(manifest["commit"]), manifest["recipe"]
        parts = {name: measure(folder / f"{name}{SUFFIX}") for name in PARTS}
    except OSError as error:
        raise UnchangedError(f"the artefact is not whole: {error.strerror}", str(error.filename), again) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UnchangedError("this is no artefact's manifest", str(folder / MANIFEST), again) from None
    if recipe != RECIPE:
        raise UnchangedError(f"it was built by recipe {recipe}, and this engine has {RECIPE}", str(folder), again)
    named = RELEASE.fullmatch(release)
    if not named or not re.fullmatch(r"[0-9a-f]{40}", commit) or named[1] != commit[:7]:
        raise UnchangedError(f"release {release!r} is not of commit {commit!r}", str(folder / MANIFEST), again)
    for name, part in parts.items():
        if (part.sha256, part.size) != told[name]:
            raise UnchangedError("it is not what the manifest says: truncated or tampered with", str(part.path), again)
    by, at = _built(folder)
    return Artefact(release, manifest, parts, hashlib.sha256(text).hexdigest(), by, at)


def _assemble(commit: Commit, settings: Settings, out: Path, work: Path, python: Interpreter) -> Artefact:
    code = work / "code"
    deps = dependencies.make(code, work, out / "deps", settings, RECIPE, python)
    said = python.run(
        "collect", python.inner(code), python.inner(deps / TREE / site_packages(settings)),
        python.inner(work / "static"), DJANGO_SETTINGS, what="collecting static files",
    )  # fmt: skip
    if not (work / "static/staticfiles.json").exists():
        raise UnchangedError(
            "collectstatic wrote no staticfiles.json",
            "app/config/settings.py",
            "use a ManifestStaticFilesStorage",
        )
    found = json.loads(said.splitlines()[-1])
    _refuse_undeclared(commit, found["migrations"], found["problems"])
    python.run("compile", python.inner(code), f"/srv/booking/releases/{commit.release}", what="compiling the code")
    ready = work / "artefact"
    ready.mkdir()
    parts = {name: pack(work / name, ready / f"{name}{SUFFIX}") for name in OURS}
    parts["venv"] = measure(_link(deps / dependencies.PACKED, ready / dependencies.PACKED))
    manifest = {
        "id": commit.release,
        "commit": commit.sha,
        "author": commit.author,
        "subject": commit.subject,
        "python": settings.python_version,
        "platform": settings.platform,
        "recipe": RECIPE,
        "venv": deps.name,
        "parts": {name: {"sha256": part.sha256, "size": part.size} for name, part in sorted(parts.items())},
        "migrations": found["migrations"],
    }
    (ready / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    built = {"by": f"{getpass.getuser()}@{socket.gethostname()}", "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
    (ready / BUILT).write_text(json.dumps(built) + "\n")
    final = out / "artefacts" / commit.release
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    ready.rename(final)
    return load(final)


def _refuse_undeclared(commit: Commit, found: Mapping[str, Mapping[str, str]], problems: list[str]) -> None:
    """UnchangedError, with all of them: migrations that older releases cannot live with, and do not say so."""
    declared = {name: Migration.of(told) for name, told in found.items()}
    if texts := [*problems, *unready(commit.release, declared)]:
        raise UnchangedError(
            "releases before it could not run beside a migration of this commit:\n  "
            + "\n  ".join("\n".join(texts).splitlines()),
            f"release {commit.release}",
            "declare it as said, or split it over releases: docs/runbooks/expand-contract.md",
        )


def _cached(out: Path, commit: Commit, settings: Settings) -> Artefact | None:
    """What an earlier build left, if it is whole and for these hosts; else None."""
    try:
        found = load(out / "artefacts" / commit.release)
    except UnchangedError:
        return None
    wanted = {"commit": commit.sha, "python": settings.python_version, "platform": settings.platform}
    return found if all(found.manifest.get(key) == value for key, value in wanted.items()) else None


def _built(folder: Path) -> tuple[str, str]:
    """Who built an artefact and when; "" where nothing tells."""
    try:
        told = json.loads((folder / BUILT).read_text())
        return str(told["by"]), str(told["at"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""


def _link(path: Path, target: Path) -> Path:
    """The same file under another name: 50 MB of dependencies lie on the disk once, whoever uses them."""
    try:
        os.link(path, target)
    except OSError:  # a file system without links, or another one
        shutil.copyfile(path, target)
    return target
