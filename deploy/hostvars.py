"""Ansible's variables of a run as the resolver's View."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deploy.errors import NexusError, NoValueError
from deploy.specs import ROOT, Tree, tree


class HostvarsView:
    """Ansible's hostvars as the resolver's View: this run's values, over the defaults of any role."""

    def __init__(self, hostvars: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> None:
        self._hostvars = hostvars
        self._seen: dict[str, Mapping[str, Any]] = {}
        self.groups = groups
        self.tree: Tree = tree(ROOT)

    def value(self, host: str, name: str) -> Any:
        """A variable as it holds on `host`, rendered. NoValueError: neither set nor defaulted."""
        if host not in self._seen:
            if host not in self._hostvars:
                raise NexusError(f"no host '{host}' in the inventory")
            self._seen[host] = self._hostvars[host]  # each look-up gathers all of a host's variables
        variables = self._seen[host]
        if name in variables:
            return variables[name]
        try:
            return self.tree.default(name)
        except KeyError:
            raise NoValueError(f"{name} has no value for host '{host}'") from None
