"""What a role makes of a host, from its meta/host.yml: accounts, files and units, for both engines.

An entry may say `when`: an expression; without it the entry is not the role's matter there. `present`: an expression
by which a file is there, or is removed. `each`: an expression for a list; the entry stands once for every item of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from deploy.errors import UsageError
from deploy.rendering import Renderer
from deploy.role_files import mappings, read
from deploy.specs import ROOT

FILE = "meta/host.yml"
_COMMON = {"when", "each"}
_FILE_KEYS = {
    "path", "state", "mode", "owner", "group", "validate", "create_only", "present", "template", "copy", "content",
    "pending", *_COMMON,
}  # fmt: skip
_ACCOUNT_KEYS = {"name", "system", "shell", "home", "create_home", *_COMMON}
_UNIT_KEYS = {"name", "state", "enabled", *_COMMON}
_RENEWAL_KEYS = {"pending", "check", "run", "reload", "restart", *_COMMON}
_STATES = {"file", "directory", "absent"}

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Declared:
    """A role's meta/host.yml as it stands there. files, units and renewals: by the name of the set that goes in one
    step. renewals: how what was changed is taken in."""

    role: str
    accounts: Sequence[Entry]
    files: Mapping[str, Sequence[Entry]]
    units: Mapping[str, Sequence[Entry]]
    renewals: Mapping[str, Sequence[Entry]]


@cache
def declared(role: str, root: Path = ROOT) -> Declared:
    """The declarations of a role; empty ones where it has no such file. UsageError: it says what it may not."""
    path = root / "roles" / role / FILE
    data = read(path)
    if unknown := set(data) - {"accounts", "files", "units", "renewals"}:
        raise UsageError(f"unknown key {', '.join(sorted(unknown))}", str(path))
    accounts = mappings(data.get("accounts"), path)
    files, units, renewals = (
        {name: mappings(entries, path) for name, entries in (data.get(kind) or {}).items()}
        for kind in ("files", "units", "renewals")
    )
    for entries, keys, needed in (
        (accounts, _ACCOUNT_KEYS, "name"),
        *((each, _FILE_KEYS, "path") for each in files.values()),
        *((each, _UNIT_KEYS, "name") for each in units.values()),
        *((each, _RENEWAL_KEYS, "pending") for each in renewals.values()),
    ):
        for entry in entries:
            _check(entry, keys, needed, path)
    return Declared(role, accounts, files, units, renewals)


def _check(entry: Entry, keys: set[str], needed: str, path: Path) -> None:
    if unknown := set(entry) - keys:
        raise UsageError(f"unknown key {', '.join(sorted(unknown))} in {dict(entry)}", str(path))
    if needed not in entry:
        raise UsageError(f"missing key {needed} in {dict(entry)}", str(path))
    if entry.get("state", "file") not in _STATES and "path" in entry:
        raise UsageError(f"state is one of {', '.join(sorted(_STATES))} in {dict(entry)}", str(path))


def accounts(role: str, renderer: Renderer) -> list[dict[str, Any]]:
    """The accounts that a role wants on the renderer's host: name, system, shell, home, create_home."""
    return [
        {"system": False, "shell": "/bin/bash", "home": f"/home/{entry['name']}", "create_home": True,
         **_plain(entry)}
        for entry, _ in _wanted(declared(role, renderer.root).accounts, renderer)
    ]  # fmt: skip


def units(role: str, renderer: Renderer, name: str = "main") -> list[dict[str, Any]]:
    """The units of a set: name, state ("started", "stopped" or "" for whatever it is), enabled."""
    return [
        {"state": "started", "enabled": True, **_plain(entry), "name": renderer.text(entry["name"], **item)}
        for entry, item in _wanted(declared(role, renderer.root).units.get(name, ()), renderer)
    ]


def renewals(role: str, renderer: Renderer, name: str = "main") -> list[dict[str, Any]]:
    """How what is pending of a set is taken in: pending, check, run, reload, restart; "" for what it does without."""
    empty = dict.fromkeys(("check", "run", "reload", "restart"), "")
    entries = declared(role, renderer.root).renewals.get(name, ())
    return [empty | _plain(entry) for entry, _ in _wanted(entries, renderer)]


def files(role: str, renderer: Renderer, name: str = "main") -> list[dict[str, Any]]:
    """The files and folders of a set, in order: path, state, content, mode, owner, group, validate, create_only,
    pending.

    UsageError: a template does not render, or a file to copy is missing.
    """
    found: list[dict[str, Any]] = []
    for entry, item in _wanted(_chosen(declared(role, renderer.root).files, name, role), renderer):
        found.extend(_file(role, entry, renderer, item))
    return found


def paths(role: str, renderer: Renderer, name: str = "main") -> list[str]:
    """The paths of a set, of which nothing is rendered but the paths."""
    found: list[str] = []
    for entry, item in _wanted(_chosen(declared(role, renderer.root).files, name, role), renderer):
        path = renderer.text(entry["path"], **item)
        if "*" in entry.get("copy", ""):
            found.extend(f"{path}/{source.name}" for source in _source(role, entry["copy"], renderer.root))
        else:
            found.append(path)
    return found


def _chosen(sets: Mapping[str, Sequence[Entry]], name: str, role: str) -> Sequence[Entry]:
    if name not in sets:
        raise UsageError(f"no set '{name}'; there are: {', '.join(sets) or 'none'}", f"roles/{role}/{FILE}")
    return sets[name]


def _wanted(entries: Sequence[Entry], renderer: Renderer) -> Iterator[tuple[Entry, dict[str, Any]]]:
    """The entries that concern the host, with the names that each is rendered with."""
    for entry in entries:
        items = renderer.expression(entry["each"]) if "each" in entry else [None]
        for item in items:
            names = {} if "each" not in entry else {"item": item}
            if "when" not in entry or renderer.expression(entry["when"], **names):
                yield entry, names


def _plain(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in _COMMON}


def _file(role: str, entry: Entry, renderer: Renderer, names: dict[str, Any]) -> Iterator[dict[str, Any]]:
    path = renderer.text(entry["path"], **names)
    state = entry.get("state", "file")
    if "present" in entry and not renderer.expression(entry["present"], **names):
        state = "absent"
    made = {
        "path": path, "state": state, "mode": entry.get("mode", "0755" if state == "directory" else "0644"),
        "owner": entry.get("owner", "root"), "group": entry.get("group", "root"),
        "validate": entry.get("validate", ""), "create_only": entry.get("create_only", False),
        "pending": entry.get("pending", ""),
    }  # fmt: skip
    if state != "file":
        yield made
    elif "*" in entry.get("copy", ""):
        # a folder's files, by name, into the folder `path`
        for source in sorted(_source(role, entry["copy"], renderer.root), key=lambda each: each.name):
            yield made | {"path": f"{path}/{source.name}", "content": source.read_text(encoding="utf-8")}
    elif "copy" in entry:
        (source,) = _source(role, entry["copy"], renderer.root)
        yield made | {"content": source.read_text(encoding="utf-8")}
    elif "content" in entry:
        yield made | {"content": renderer.text(entry["content"], **names)}
    else:
        template = entry.get("template") or f"{path.removeprefix('/')}.j2"
        yield made | {"content": renderer.template(template, **names)}


def _source(role: str, pattern: str, root: Path) -> list[Path]:
    """The files of a pattern below the role's files/, or below the tree's root where it begins with a slash."""
    folder = root if pattern.startswith("/") else root / "roles" / role / "files"
    if found := list(folder.glob(pattern.removeprefix("/"))):
        return found
    raise UsageError(f"no file {pattern}", f"roles/{role}/{FILE}")
