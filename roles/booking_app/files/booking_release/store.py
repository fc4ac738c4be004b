"""Releases on disk: receive, verify, unpack, publish, remove."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from . import intent, lock
from .archive import unpack
from .layout import RELEASE, SHA256, VENV, HelperError, Layout

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
        if not all(is_migration(migration) for migration in manifest["migrations"].values()):
            raise HelperError("the manifest's migrations are malformed")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HelperError(f"the manifest is malformed: {type(error).__name__}: {error}") from None
    return manifest


def is_migration(text: Any) -> bool:
    """Whether a manifest's entry says of a migration what it must: {"class": expand|contract, "since": id|""}."""
    since = text["since"]
    return set(text) == {"class", "since"} and (
        (text["class"] == "expand" and since == "")
        or (text["class"] == "contract" and RELEASE.fullmatch(since) is not None)
    )


def receive(stream: IO[bytes], part: dict[str, Any], path: Path) -> None:
    """Write the next part of the stream to a file; HelperError unless size and sha256 are the manifest's."""
    import hashlib  # most acts need none, and each pays for what is imported

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


def stage(layout: Layout, release: str, sent: Iterable[str], stream: IO[bytes], token: int) -> dict[str, Any]:
    """Put a release on this host; nothing is switched.

    The stream is one line of JSON (the manifest), then the bytes of the parts named in `sent`, in that
    order. A release that is here already is left as it is. Static files are published at the end.
    """
    manifest = parse_manifest(stream.readline(LONGEST_MANIFEST), release)
    final = layout.releases / release
    if final.is_dir():
        publish(layout, final)
        return {"staged": False}
    if not (layout.root / f"usr/bin/python{manifest['python']}").exists():
        raise HelperError(f"the release wants Python {manifest['python']}, which this host does not have")
    box = layout.incoming / f"{release}.{os.getpid()}"
    with intent.noted(layout, "stage", release, token):
        try:
            prepare(layout, manifest, sent, stream, box, lambda: lock.require(layout, token))
        except OSError as error:
            with layout.guard():
                lock.require(layout, token)  # whoever took it meanwhile has swept what was received
            raise HelperError(f"{error.strerror}: {error.filename or layout.srv}") from None
        finally:
            sweep(box)
        publish(layout, final)
    return {"staged": True}


def prepare(
    layout: Layout, manifest: dict[str, Any], sent: Iterable[str], stream: IO[bytes], box: Path,
    allowed: Callable[[], object],
) -> None:  # fmt: skip
    """Receive and unpack a release in the folder `box`, then give it its name, if that is still `allowed`."""
    sweep_incoming(layout)  # of a helper that was killed, there is nothing else to tell of what it left
    box.mkdir(mode=0o700)
    for name in sent:
        if name not in PARTS:
            raise HelperError(f"not a part of a release: {name!r}", code=2)
        receive(stream, manifest["parts"][name], box / name)
    venv = layout.venvs / manifest["venv"]
    if not venv.is_dir():
        place_venv(box, venv, manifest["python"])
    if not (box / "code").exists():
        raise HelperError("the part code was not sent")
    unpack(box / "code", box / "release")
    if (box / "static").exists():
        unpack(box / "static", box / "release/static")
    else:
        share_static(layout, manifest["parts"]["static"]["sha256"], box / "release/static")
    (box / "release/venv").symlink_to(f"../../venvs/{manifest['venv']}")
    (box / "release/manifest.json").write_text(json.dumps(manifest))
    published_names(box / "release")
    with layout.guard():
        allowed()
        give_name(box / "release", layout.releases / manifest["id"])


def share_static(layout: Layout, sha256: str, target: Path) -> None:
    """Give a release the static files of another one that has the same, as links; HelperError: none here has."""
    import shutil  # most acts copy nothing, and each pays for what is imported

    for release in staged(layout):
        if static_of(layout, release) == sha256:
            try:
                shutil.copytree(layout.releases / release / "static", target, copy_function=os.link)
            except shutil.Error as error:
                raise HelperError(f"static files cannot be linked: {error.args[0][0][2]}") from None
            return
    raise HelperError("the part static was not sent, and no release on this host has the same")


def place_venv(box: Path, venv: Path, python: str) -> None:
    """Unpack the dependencies and give them an interpreter: the host's own Python."""
    if not (box / "venv").exists():
        raise HelperError(f"the dependencies {venv.name} are not on this host and were not sent")
    unpack(box / "venv", box / "tree")
    (box / "tree/bin").mkdir(exist_ok=True)
    (box / "tree/bin/python").symlink_to(f"/usr/bin/python{python}")
    give_name(box / "tree", venv)


def give_name(prepared: Path, final: Path) -> None:
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


def migrations_of(layout: Layout, release: str) -> dict[str, dict[str, str]]:
    """A release's migrations by "app.name", with their class; {} for one that was built before they had any."""
    found = manifest_of(layout, release)["migrations"]
    return found if isinstance(found, dict) else {}


def static_of(layout: Layout, release: str) -> str:
    """The sha256 of the part that a release's static files came in."""
    return str(manifest_of(layout, release)["parts"]["static"]["sha256"])


def sweep(path: Path) -> None:
    """Delete a file or folder, if it is there. It loses its name first: what has a name is whole."""
    import shutil  # most acts delete nothing, and each pays for what is imported

    doomed = path.with_name(f".{path.name}.doomed")
    shutil.rmtree(doomed, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        path.rename(doomed)
    if doomed.is_dir():
        shutil.rmtree(doomed)
    else:
        doomed.unlink(missing_ok=True)


def sweep_incoming(layout: Layout) -> None:
    """Delete whatever was half received or half removed."""
    for path in layout.incoming.iterdir():
        sweep(path)


def remove(layout: Layout, releases: Iterable[str], in_use: Callable[[], set[str]], token: int) -> dict[str, Any]:
    """Delete releases, then dependencies and static files that no release on this host refers to.

    What `in_use` names (current or running) in the moment of the removal is kept, whatever was asked.
    """
    removed, doomed = [], layout.incoming / f"removed.{os.getpid()}"
    with intent.noted(layout, "remove", " ".join(releases), token):
        sweep(doomed)
        doomed.mkdir()
        with layout.guard():
            lock.require(layout, token)
            used = in_use()
            for release in releases:
                if release not in used:
                    removed.append(release)
                    with contextlib.suppress(FileNotFoundError):
                        (layout.releases / release).rename(doomed / release)
            kept = [layout.releases / release for release in staged(layout)]
            venvs = {json.loads((path / "manifest.json").read_text())["venv"] for path in kept}
            for venv in layout.venvs.iterdir():
                if venv.name not in venvs:
                    venv.rename(doomed / venv.name)
        sweep(doomed)
        with layout.guard():
            lock.require(layout, token)  # that took its time: whoever has the lock by now may have published some
            prune_static(layout, {name for path in kept for name in published_names(path)})
    return {"removed": removed}


def prune_static(layout: Layout, names: set[str]) -> None:
    """Delete the published files that are not among `names`, and folders that are empty then."""
    for folder, _, files in os.walk(layout.static, topdown=False):
        for name in files:
            path = Path(folder, name)
            if str(path.relative_to(layout.static)) not in names:
                path.unlink()
        if Path(folder) != layout.static and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
