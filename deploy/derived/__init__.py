"""What follows from an inventory: names that the templates and declarations of roles use beside variables.

Each public function of these modules is such a name: pure, of the inventory as a `View` and a host.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction
from typing import Any

from deploy.declarations import View
from deploy.derived import (
    base,
    booking_app,
    certbot,
    cron,
    firewall,
    keepalived,
    loadbalancer,
    membership,
)

Derive = Callable[[View, str], Any]
_MODULES = (base, booking_app, certbot, cron, firewall, keepalived, loadbalancer, membership)
NAMES: dict[str, Derive] = {
    name: function
    for module in _MODULES
    for name, function in vars(module).items()
    if isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
}


def find(name: str) -> Derive | None:
    """The function that derives `name`; None where it is no derived name."""
    return NAMES.get(name)
