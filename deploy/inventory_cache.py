"""What ansible-inventory said of an environment, kept until anything that it read has changed.

Asking Ansible costs a second and more, which a rollback does not have. Kept is only what is plainly static: YAML
files without a plugin and nothing that runs. Whatever else there is, is asked for every time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

VERSION = "2"  # raise it whenever this file changes what is kept
FOLDER = "build/cache"
_VARIABLES = ("group_vars", "host_vars")
_SOURCES = (".yml", ".yaml", ".json")
# Ansible takes no file of these for a source of hosts (INVENTORY_IGNORE_EXTENSIONS and its own additions).
_PASSED_OVER = (".md", ".txt", ".rst", ".orig", ".bak", ".retry", "~")
_MOST_FILES = 2000


class _NotStaticError(Exception):
    """The inventory is more than files, or more files than it is worth reading."""


def cached(folder: Path, root: Path, ask: Callable[[], str]) -> Mapping[str, Any]:
    """The JSON of `ansible-inventory --list` for an environment: as it was kept, else as `ask` answers now.

    folder: the environment's. root: the source tree, with ansible.cfg; it is kept below build/cache/ there,
    readable by its owner alone. A kept answer that is stale, damaged or not readable is made anew; one that cannot
    be written is not kept.
    """
    before = key(folder, root, os.environ)
    path = root / FOLDER / f"inventory-{folder.name}.json"
    if before and (found := _read(path, before)) is not None:
        return found
    text = ask()
    listing: Mapping[str, Any] = json.loads(text)
    if before and key(folder, root, os.environ) == before:  # nobody wrote while Ansible read
        _write(path, before, text)
    return listing


def key(folder: Path, root: Path, environ: Mapping[str, str]) -> str:
    """A hash of all that ansible-inventory reads: every file of the environment through its links, variables beside
    the playbook, ansible.cfg, Ansible's version and its variables of `environ`. "" if it must not be kept.
    """
    parts = [VERSION, metadata.version("ansible-core"), sys.version, str(folder.resolve())]
    parts += [f"{name}={value}" for name, value in sorted(environ.items()) if name.startswith("ANSIBLE_")]
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogateescape"))
    try:
        for place in (folder, *(root / name for name in _VARIABLES), root / "ansible.cfg"):
            for path in _files(place):
                content = path.read_bytes()
                if place == folder:
                    _refuse_dynamic(path.relative_to(folder), path, content)
                name = os.fsencode(path.relative_to(root))
                digest.update(b"%d %s %d " % (len(name), name, len(content)) + content)
    except (OSError, _NotStaticError):
        return ""
    return digest.hexdigest()


def _refuse_dynamic(name: Path, path: Path, content: bytes) -> None:
    """_NotStaticError: this file runs, configures a plugin, or is encrypted as a whole."""
    variables = name.parts[0] in _VARIABLES
    if content.startswith(b"$ANSIBLE_VAULT"):
        raise _NotStaticError  # its clear text would be kept; a value that is encrypted by itself stays so
    if variables or name.name.endswith(_PASSED_OVER):
        return
    # The word anywhere is enough to be asked again: that costs a second, to be wrong costs more.
    if not name.name.endswith(_SOURCES) or b"plugin" in content or os.access(path, os.X_OK):
        raise _NotStaticError


def _files(place: Path) -> Iterator[Path]:
    """Every file at and below a place, through links, in one order; without hidden ones, which Ansible passes over."""
    if place.is_file():
        yield place
        return
    seen: set[tuple[int, int]] = set()
    count = 0
    for folder, folders, files in os.walk(place, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116 - the walk gives strings
        if (status.st_dev, status.st_ino) in seen:
            raise _NotStaticError  # links that lead in a circle
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            count += 1
            if count > _MOST_FILES:
                raise _NotStaticError
            yield Path(folder, name)


def _read(path: Path, wanted: str) -> Mapping[str, Any] | None:
    try:
        found, digest, text = path.read_text().split("\n", 2)
        if found != wanted or hashlib.sha256(text.encode()).hexdigest() != digest:
            return None
        listing = json.loads(text)
    except (OSError, ValueError):
        return None
    return listing if isinstance(listing, dict) else None


def _write(path: Path, key: str, text: str) -> None:
    # No secret is in it (inventory.veiled), but addresses and names are: mkstemp makes a file of its owner's alone.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(f"{key}\n{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
