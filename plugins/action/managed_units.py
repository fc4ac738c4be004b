"""Resolves what a role declares of its units, on the controller, and hands it to the module of the same name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
if str(_ROOT) not in sys.path:
    sys.path.append(str(_ROOT))

from deploy import host_declarations  # noqa: E402 - the package lies beside plugins/, not on Ansible's path
from deploy.declared_action import DeclaredAction  # noqa: E402 - as above
from deploy.rendering import Renderer  # noqa: E402 - as above


class ActionModule(DeclaredAction):
    """`managed_units: {role: nginx}`, or with `units` and `renewals` as they stand."""

    OWN = ("role", "set")

    def declared(self, role: str, renderer: Renderer, name: str) -> dict[str, Any]:
        """The units of a role's set."""
        return {
            "units": host_declarations.units(role, renderer, name),
            "renewals": host_declarations.renewals(role, renderer, name),
        }
