"""Reads the inventory files of one environment into a StaticInventory; what it cannot read is a Problem."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.option_types import suggestion
from deploy.specs import Tree
from deploy.static_inventory import Place, Problem, Setting, StaticInventory, files_below, relative
from deploy.yaml_lines import UnreadableError, load

_GROUP_KEYS = ("hosts", "vars", "children")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def read(folder: Path, root: Path, tree: Tree) -> tuple[StaticInventory, list[Problem]]:
    """The environment in `folder` and what is wrong with its files. Dynamic inventories are passed over."""
    reader = _Reader(StaticInventory(folder, tree), root)
    tops = [path for path in sorted(folder.iterdir()) if path.suffix in (".yml", ".yaml") and not path.is_dir()]
    for path in tops:
        reader.hosts_file(path)
    for kind in ("group", "host"):
        for name, path in files_below(folder / f"{kind}_vars"):
            reader.variables_file(path, kind, name)
    return reader.found, reader.problems


@dataclass
class _Reader:
    found: StaticInventory
    root: Path
    problems: list[Problem] = field(default_factory=list)

    def hosts_file(self, path: Path) -> None:
        """One file of hosts and groups at the top of the environment."""
        place = self._mapping(path)
        if place is not None and "plugin" not in place.document.value:
            for group, body in self._items(place, place.document.value):
                self._group(place.at(group), group, body)

    def variables_file(self, path: Path, kind: str, name: str) -> None:
        """One file below group_vars/ or host_vars/, whose folder or stem is `name`."""
        place = self._mapping(path)
        if place is None:
            return
        known: Iterable[str] = self.found.groups if kind == "group" else self.found.groups["all"]
        if name not in known and name != "all":
            message = f"there is no {kind} of that name here{suggestion(name, known)}"
            self.problems.append(Problem(place.file, 0, name, message))
        group, host = (name, "") if kind == "group" else ("", name)
        self._settings(place, place.document.value, group, host)

    def _mapping(self, path: Path) -> Place | None:
        """The top of a file that holds a mapping; None for an empty or unreadable one, which is reported."""
        file = relative(path, self.root)
        try:
            document = load(path)
        except UnreadableError as error:
            self.problems.append(Problem(file, error.line, "", error.message))
            return None
        for key, line in document.duplicates():
            twice = "is written twice in one mapping; the first is lost"
            self.problems.append(Problem(file, line, key, twice))
        if document.value is None:
            return None
        place = Place(file, document)
        if isinstance(document.value, Mapping):
            return place
        self.problems.append(place.problem("a mapping is expected"))
        return None

    def _group(self, place: Place, name: str, body: Any) -> None:
        own = self.found.own.setdefault(name, [])
        self.found.places.setdefault(f"group {name}", place)
        for key, inner in self._items(place, body):
            if key == "vars":
                self._settings(place.at(key), inner, name, "")
            elif key == "children":
                for child, below in self._items(place.at(key), inner):
                    self.found.children.setdefault(name, []).append(child)
                    self._group(place.at(key, child), child, below)
            elif key == "hosts":
                for written, variables in self._items(place.at(key), inner):
                    for host in self._hosts(place.at(key, written), written):
                        own.append(host)
                        self.found.places.setdefault(f"host {host}", place.at(key, written))
                        self._settings(place.at(key, written), variables, "", host)
            else:
                message = f"unknown key of group '{name}'{suggestion(key, _GROUP_KEYS)}"
                self.problems.append(place.at(key).problem(message))

    def _hosts(self, place: Place, written: str) -> list[str]:
        names = [written]
        if "[" in written:
            # Imported here: it takes longer than all the rest of reading an inventory, and few name a range.
            from ansible.errors import AnsibleError
            from ansible.plugins.inventory import expand_hostname_range

            try:
                names = list(expand_hostname_range(written))
            except (AnsibleError, ValueError):
                names = []
        if not names or not all(_HOST_NAME.fullmatch(name) for name in names):
            self.problems.append(place.problem("not a host name (letters, digits, hyphens and dots)"))
        return names

    def _settings(self, place: Place, body: Any, group: str, host: str) -> None:
        for name, value in self._items(place, body):
            self.found.settings.append(Setting(name, value, group, host, place.at(name)))

    def _items(self, place: Place, body: Any) -> Iterator[tuple[str, Any]]:
        if body is None:
            return
        if not isinstance(body, Mapping):
            self.problems.append(place.problem("a mapping is expected"))
            return
        for key, value in body.items():
            if isinstance(key, str):
                yield key, value
            else:
                self.problems.append(place.problem("a name is expected (quote it)", str(key)))
