"""Resolves what a role declares of a host, on the controller, and hands it to the module of the same name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

_ROOT = Path(__file__).resolve().parents[2]
if str(_ROOT) not in sys.path:
    sys.path.append(str(_ROOT))

from deploy import host_declarations  # noqa: E402 - the package lies beside plugins/, not on Ansible's path
from deploy.errors import NexusError, UsageError  # noqa: E402 - as above
from deploy.hostvars import HostvarsView  # noqa: E402 - as above
from deploy.rendering import Renderer  # noqa: E402 - as above


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible says nothing of its types
    """`managed_host: {role: nginx, files: site, units: main, names: {}}`, or lists as they stand."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ansible's entry point."""
        super().run(tmp, task_vars)
        variables, arguments = task_vars or {}, dict(self._task.args)
        if arguments.get("role"):
            view = HostvarsView(variables["hostvars"], variables["groups"])
            renderer = Renderer(view, variables["inventory_hostname"], arguments.pop("names", None))
            try:
                arguments = declared(renderer, **arguments)
            except NexusError as error:
                raise AnsibleActionFail(str(error)) from error
            except TypeError as error:  # an argument that there is not
                raise AnsibleActionFail(f"managed_host with a role: {error}") from error
        found: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=variables)
        return found


def declared(
    renderer: Renderer, role: str, *, accounts: bool = False, files: str = "", units: str = ""
) -> dict[str, Any]:
    """The module's arguments for a role's accounts and for sets of its files and units. UsageError: there is no such
    set, or nothing is named."""
    found = host_declarations.declared(role, renderer.root)
    if not (accounts or files or units):
        raise UsageError("name what is meant: accounts, files or units", f"managed_host of role {role}")
    if units and units not in {**found.units, **found.renewals}:
        raise UsageError(f"no set '{units}' of units", f"roles/{role}/{host_declarations.FILE}")
    return {
        "accounts": host_declarations.accounts(role, renderer) if accounts else [],
        "files": host_declarations.files(role, renderer, files) if files else [],
        "units": host_declarations.units(role, renderer, units) if units else [],
        "renewals": host_declarations.renewals(role, renderer, units) if units else [],
    }
