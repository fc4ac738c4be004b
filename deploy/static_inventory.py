"""An environment's inventory files as a person wrote them: hosts, groups and settings with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from deploy.errors import NoValueError
from deploy.inventory import templated
from deploy.specs import Tree
from deploy.yaml_lines import Document, Encrypted

Steps = tuple[str | int, ...]


class UnresolvedError(Exception):
    """A value that only Ansible can resolve: a template, or encrypted."""


@dataclass(frozen=True, order=True)
class Problem:
    """Something to mend in an inventory. line: counted from 1; 0 concerns the whole file."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        """`file:line: key: message`, without the parts that are empty."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.message) if part)


@dataclass(frozen=True)
class Place:
    """Somewhere in a YAML file. file: as a problem names it. steps: the keys that lead there."""

    file: str
    document: Document = field(repr=False)
    steps: Steps = ()

    @property
    def line(self) -> int:
        """Its line, counted from 1."""
        return self.document.line(self.steps)

    def at(self, *steps: str | int) -> Place:
        """The place that `steps` lead to from here."""
        return Place(self.file, self.document, (*self.steps, *steps))

    def problem(self, message: str, key: str = "") -> Problem:
        """A problem of this place; its key is the last step there unless given."""
        return Problem(self.file, self.line, key or str(self.steps[-1] if self.steps else ""), message)


@dataclass(frozen=True)
class Setting:
    """One variable set in one place: for the hosts of a group, or for one host."""

    name: str
    value: Any = field(repr=False)
    group: str
    host: str
    place: Place

    @property
    def in_hosts_file(self) -> bool:
        """Whether it stands beside hosts and groups, not in a file of variables alone."""
        return len(self.place.steps) > 1


@dataclass
class StaticInventory:
    """One environment. Is a `declarations.View` of every value that is neither a template nor encrypted.

    own: the hosts written directly into each group. children: the groups written below each group.
    places: where each host ('host NAME') and each group ('group NAME') is written first.
    """

    folder: Path
    tree: Tree
    settings: list[Setting] = field(default_factory=list)
    own: dict[str, list[str]] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    @property
    def env(self) -> str:
        """The environment's name."""
        return self.folder.name

    @cached_property
    def groups(self) -> Mapping[str, list[str]]:
        """Host names by group, those of child groups included; 'all' is every host."""
        found = {name: self._members(name, ()) for name in [*self.own, *self.children]}
        found["all"] = list(dict.fromkeys(host for hosts in self.own.values() for host in hosts))
        return found

    @cached_property
    def _effective(self) -> dict[str, dict[str, Setting]]:
        """The setting that holds, by host and variable: Ansible's order, later ones win."""
        found: dict[str, dict[str, Setting]] = {host: {} for host in self.groups["all"]}
        for setting in sorted(self.settings, key=self._rank):
            for host in [setting.host] if setting.host else self.groups.get(setting.group, ()):
                found.setdefault(host, {})[setting.name] = setting
        return found

    def setting(self, host: str, name: str) -> Setting | None:
        """Where the value of a variable that holds on `host` is written; None where nothing sets it."""
        return self._effective[host].get(name)

    def value(self, host: str, name: str) -> Any:
        """A variable as it holds on `host`. NoValueError: none. UnresolvedError: Ansible alone can tell."""
        found = self.setting(host, name)
        if found is None:
            try:
                return self.tree.default(name)
            except KeyError:
                raise NoValueError(f"{name} has no value for host '{host}'") from None
        if isinstance(found.value, Encrypted) or templated(found.value):
            raise UnresolvedError(name)
        return found.value

    def _members(self, group: str, above: tuple[str, ...]) -> list[str]:
        if group in above:  # a loop of groups; Ansible itself refuses it
            return []
        names = list(self.own.get(group, ()))
        for child in self.children.get(group, ()):
            names.extend(self._members(child, (*above, group)))
        return list(dict.fromkeys(names))

    def _rank(self, setting: Setting) -> tuple[int, int, str]:
        """Ansible's precedence, lowest first: groups' in the hosts file, groups' in files, then hosts'."""
        if setting.host:
            return (4 if setting.in_hosts_file else 5, 0, "")
        if setting.group == "all":
            return (0 if setting.in_hosts_file else 2, 0, "")
        return (1 if setting.in_hosts_file else 3, self._depth(setting.group, ()), setting.group)

    def _depth(self, group: str, below: tuple[str, ...]) -> int:
        parents = [name for name, found in self.children.items() if group in found and name not in ("all", *below)]
        return 1 + max((self._depth(parent, (*below, group)) for parent in parents), default=0)


def relative(path: Path, root: Path) -> str:
    """A file as messages name it: its links followed (not one that leads nowhere), relative to the tree."""
    real = path.resolve() if path.exists() else path.parent.resolve() / path.name
    base = root.resolve()
    return str(real.relative_to(base)) if real.is_relative_to(base) else str(real)


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """(group or host, file) for each file that Ansible reads below group_vars or host_vars, in its order."""
    if not folder.is_dir():
        return
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            for path in sorted(entry.rglob("*")):
                if _is_read(path.relative_to(entry)) and not path.is_dir():
                    yield entry.name, path
        elif _is_read(Path(entry.name)):
            yield entry.stem if entry.suffix in (".yml", ".yaml", ".json") else entry.name, entry


def _is_read(path: Path) -> bool:
    hidden = any(part.startswith(".") or part.endswith("~") for part in path.parts)
    return not hidden and path.suffix in ("", ".yml", ".yaml", ".json")
