"""Renders what a role declares of its files, on the controller, and hands it to the module of the same name."""

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
    """`managed_files: {role: nginx, set: main, names: {}}`, or with `files` as they stand."""

    OWN = ("role", "set", "names")

    def declared(self, role: str, renderer: Renderer, name: str) -> dict[str, Any]:
        """The files of a role's set."""
        return {"files": host_declarations.files(role, renderer, name)}
