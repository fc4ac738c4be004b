"""The host in hand: what the roles declare for it, and what it was found to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from pyinfra import host as current
from pyinfra.api import Host

from deploy import host_declarations as declarations
from deploy.declarations import View
from deploy.provision.host_state import SYSTEMD, Snapshot, names_of
from deploy.rendering import Renderer, value
from deploy.specs import ROOT

Entry = dict[str, Any]


class Here:
    """One host in one run. roles: those of this run, whose every question is asked in one go.

    later: (role, set) of files whose templates need what only the hosts can tell. questions: commands that only ask.
    """

    def __init__(
        self, host: Host, view: View, roles: Iterable[str], later: Iterable[tuple[str, str]],
        questions: Mapping[str, list[str]], root: Path = ROOT,
    ) -> None:  # fmt: skip
        self.view, self.name, self.roles = view, host.name, tuple(roles)
        self.renderer = Renderer(view, self.name, root=root)
        waiting = set(later)
        self._files = {
            pair: declarations.files(pair[0], self.renderer, pair[1]) for pair in self._sets() if pair not in waiting
        }
        self.snapshot = Snapshot(host, self._wanted(questions))
        _HERE[host] = self

    def value(self, name: str) -> Any:
        """A variable or a derived name."""
        return value(self.view, self.name, name)

    def files(self, role: str, name: str, names: Mapping[str, Any] | None = None) -> list[Entry]:
        """The files of a role's set. names: what its templates need of the moment."""
        if names is None:
            return self._files[role, name]
        return declarations.files(role, Renderer(self.view, self.name, names, self.renderer.root), name)

    def paths(self, role: str, name: str) -> list[str]:
        """The paths of a role's set, whatever their contents."""
        return declarations.paths(role, self.renderer, name)

    def accounts(self, role: str) -> list[Entry]:
        """The accounts of a role."""
        return declarations.accounts(role, self.renderer)

    def units(self, role: str, name: str) -> tuple[list[Entry], list[Entry]]:
        """The units of a role's set, and how what is pending is taken in."""
        return declarations.units(role, self.renderer, name), declarations.renewals(role, self.renderer, name)

    def _sets(self) -> Iterator[tuple[str, str]]:
        for role in self.roles:
            for name in declarations.declared(role, self.renderer.root).files:
                yield role, name

    def _wanted(self, questions: Mapping[str, list[str]]) -> dict[str, Any]:
        units: list[Entry] = []
        renewals: list[Entry] = []
        for role in self.roles:
            found = declarations.declared(role, self.renderer.root)
            for name in {**found.units, **found.renewals}:
                more, taken = self.units(role, name)
                units, renewals = units + more, renewals + taken
        later = [pair for pair in self._sets() if pair not in self._files]
        paths = [entry["path"] for entries in self._files.values() for entry in entries]
        paths += [path for role, name in later for path in self.paths(role, name)]
        return {
            "files": list(dict.fromkeys(paths)),
            "accounts": [entry["name"] for role in self.roles for entry in self.accounts(role)],
            "units": names_of(units, renewals),
            "pending": [SYSTEMD, *{name for entry in renewals for name in entry["pending"].split()}],
            "questions": dict(questions),
            "packages": True,
        }


_HERE: WeakKeyDictionary[Host, Here] = WeakKeyDictionary()


def here() -> Here:
    """What is known of the host that pyinfra has in hand."""
    return _HERE[current.state.inventory.get_host(current.name)]
