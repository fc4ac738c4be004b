"""Releases on disk: receive, verify, unpack, publish, remove."""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from .archive import unpack
from .layout import SHA256, VENV, HelperError, Layout

BLOCK = 1 << 20
LONGEST_MANIFEST = 1 << 22
PARTS = ("venv", "code", "static")


def parse_manifest(line: bytes, release: str) -> dict[str, Any]:
    """The manifest from one line of JSON. HelperError if it is not one, or is another release's."""
    try:
        manifest: dict[str, Any] = json.loads(line)
        if manifest["id"] != release:
            raise HelperError(f"the manifest is that of {manifest['id']!r}, not of {release}")
        if not VENV.fullmatch(manifest["venv"]):
            raise HelperError(f"the manifest names no dependencies: {manifest['venv']!r}")
        for name in PARTS:
            part = manifest["parts"][name]
            if not SHA256.fullmatch(part["sha256"]) or not 0 < int(part["size"]) < 1 << 33:
                raise HelperError(f"the manifest's entry for the part {name} is malformed")
        if not isinstance(manifest["python"], str):
            raise HelperError("the manifest's Python version is malformed")
    except (ValueError, KeyError, TypeError) as error:
        raise HelperError(f"the manifest is malformed: {type(error).__name__}: {error}") from None
    return manifest


def receive(stream: IO[bytes], part: dict[str, Any], path: Path) -> None:
    """Write the next part of the stream to a file; HelperError unless size and sha256 are the manifest's."""
    digest, left = hashlib.sha256(), int(part["size"])
    with path.open("xb") as out:
        while left:
            block = stream.read(min(BLOCK, left))
            if not block:
                raise HelperError(f"the part {path.name} is truncated: {left} of {part['size']} bytes are missing")
            digest.update(block)
            out.write(block)
            left -= len(block)
    if digest.hexdigest() != part["sha256"]:
        raise HelperError(f"the part {path.name} was altered: its sha256 is {digest.hexdigest()}, not {part['sha256']}")


def stage(layout: Layout, release: str, sent: Iterable[str], stream: IO[bytes]) -> dict[str, Any]:
    """Put a release on this host; nothing is switched.

    The stream is one line of JSON (the manifest), then the bytes of the parts named in `sent`, in that
    order. A release that is here already is left as it is. Static files are published at the end.
    """
    manifest = parse_manifest(stream.readline(LONGEST_MANIFEST), release)
    final, venv = layout.releases / release, layout.venvs / manifest["venv"]
    if final.is_dir():
        publish(layout, final)
        return {"staged": False}
    if not (layout.root / f"usr/bin/python{manifest['python']}").exists():
        raise HelperError(f"the release wants Python {manifest['python']}, which this host does not have")
    box = layout.incoming / f"{release}.{os.getpid()}"
    shutil.rmtree(box, ignore_errors=True)
    box.mkdir(mode=0o700)
    try:
        for name in sent:
            if name not in PARTS:
                raise HelperError(f"not a part of a release: {name!r}", code=2)
            receive(stream, manifest["parts"][name], box / name)
        if not venv.is_dir():
            place_venv(box, venv, manifest["python"])
        for name in ("code", "static"):
            if not (box / name).exists():
                raise HelperError(f"the part {name} was not sent")
        unpack(box / "code", box / "release")
        unpack(box / "static", box / "release/static")
        (box / "release/venv").symlink_to(f"../../venvs/{manifest['venv']}")
        (box / "release/manifest.json").write_text(json.dumps(manifest))
        published_names(box / "release")
        settle(box / "release", final)
    except OSError as error:
        raise HelperError(f"{error.strerror}: {error.filename or layout.srv}") from None
    finally:
        shutil.rmtree(box, ignore_errors=True)
    publish(layout, final)
    return {"staged": True}


def place_venv(box: Path, venv: Path, python: str) -> None:
    """Unpack the dependencies and give them an interpreter: the host's own Python."""
    if not (box / "venv").exists():
        raise HelperError(f"the dependencies {venv.name} are not on this host and were not sent")
    unpack(box / "venv", box / "tree")
    (box / "tree/bin").mkdir(exist_ok=True)
    (box / "tree/bin/python").symlink_to(f"/usr/bin/python{python}")
    settle(box / "tree", venv)


def settle(prepared: Path, final: Path) -> None:
    """Give a prepared folder its name once its contents are on disk: what has the name is whole."""
    subprocess.run(["sync", "-f", str(prepared)], check=True)
    try:
        prepared.rename(final)
    except OSError:
        if not final.is_dir():  # else another helper was faster, with the same contents
            raise


def published_names(release: Path) -> list[str]:
    """The hashed static files of a release: what its staticfiles.json maps to."""
    try:
        names = json.loads((release / "static/staticfiles.json").read_text())["paths"].values()
    except (OSError, ValueError, KeyError, AttributeError):
        raise HelperError(f"{release.name} has no usable static/staticfiles.json") from None
    for name in names:
        if not isinstance(name, str) or name.startswith("/") or ".." in Path(name).parts:
            raise HelperError(f"staticfiles.json names {name!r}, which leads out of the static files")
    return sorted(set(names))


def publish(layout: Layout, release: Path) -> None:
    """Link a release's hashed static files into the folder that nginx serves; what is there stays."""
    for name in published_names(release):
        target = layout.static / name
        if not target.exists():
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                target.hardlink_to(release / "static" / name)


def staged(layout: Layout) -> list[str]:
    """The ids of the releases on this host, oldest commit first."""
    return sorted(path.name for path in layout.releases.iterdir() if (path / "manifest.json").exists())


def manifest_of(layout: Layout, release: str) -> dict[str, Any]:
    """The manifest of a release on this host; HelperError if it is not here."""
    try:
        manifest: dict[str, Any] = json.loads((layout.releases / release / "manifest.json").read_text())
    except FileNotFoundError:
        raise HelperError(f"the release {release} is not on this host") from None
    return manifest


def remove(layout: Layout, releases: Iterable[str], in_use: set[str]) -> dict[str, Any]:
    """Delete releases, then dependencies and static files that no release on this host refers to.

    What `in_use` names (current or running) is kept, whatever was asked.
    """
    removed = [release for release in releases if release not in in_use]
    for release in removed:
        path = layout.releases / release
        if path.is_dir():
            # out of sight first: a folder that still has the name is whole
            doomed = layout.incoming / f"{release}.removed.{os.getpid()}"
            path.rename(doomed)
            shutil.rmtree(doomed)
    kept = [layout.releases / release for release in staged(layout)]
    venvs = {json.loads((path / "manifest.json").read_text())["venv"] for path in kept}
    for venv in layout.venvs.iterdir():
        if venv.name not in venvs:
            shutil.rmtree(venv)
    names = {name for path in kept for name in published_names(path)}
    for folder, _, files in os.walk(layout.static, topdown=False):
        for name in files:
            path = Path(folder, name)
            if str(path.relative_to(layout.static)) not in names:
                path.unlink()
        if Path(folder) != layout.static and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    return {"removed": removed}
