"""Which groups there are, and which a host is in, by Ansible's own names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploy.declarations import View


def groups(view: View, _host: str) -> Mapping[str, Sequence[str]]:
    """Host names by group, in inventory order; 'all' included."""
    return view.groups


def group_names(view: View, host: str) -> list[str]:
    """The groups that the host is in, sorted, without 'all'."""
    return sorted(name for name, hosts in view.groups.items() if host in hosts and name != "all")
