"""What role firewall makes of an inventory."""

from __future__ import annotations

from typing import Any

from deploy import declarations
from deploy.declarations import View


def firewall_rules(view: View, host: str) -> list[dict[str, Any]]:
    """The ports open on the host, each as deploy.rules.Rule.plain() has it."""
    return [rule.plain() for rule in declarations.rules(view, host)]


def firewall_let_out(view: View, host: str) -> list[dict[str, Any]]:
    """What the host may reach, in the same form; empty where it may reach everything."""
    if not declarations.denies_out(view, host):
        return []
    return [rule.plain() for rule in declarations.outgoing(view, host)]
