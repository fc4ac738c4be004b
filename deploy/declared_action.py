"""What the action plugins share: a role's declarations, resolved with the variables of an Ansible run."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from deploy.errors import NexusError
from deploy.hostvars import HostvarsView
from deploy.rendering import Renderer


class DeclaredAction(ActionBase):  # type: ignore[misc]  # Ansible says nothing of its types
    """Hands a module of the same name the declarations of the role that the task names.

    OWN: the task's arguments that are not the module's.
    """

    OWN: ClassVar[tuple[str, ...]]
    _supports_check_mode = True
    _supports_diff = True

    @abstractmethod
    def declared(self, role: str, renderer: Renderer, name: str) -> dict[str, Any]:
        """The module's arguments for the role's set `name` on the renderer's host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ansible's entry point."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = {name: value for name, value in self._task.args.items() if name not in self.OWN}
        given = {name: self._task.args.get(name) for name in self.OWN}
        if given["role"]:
            view = HostvarsView(variables["hostvars"], variables["groups"])
            renderer = Renderer(view, variables["inventory_hostname"], given.get("names"))
            try:
                arguments |= self.declared(given["role"], renderer, given["set"] or "main")
            except NexusError as error:
                raise AnsibleActionFail(str(error)) from error
        found: dict[str, Any] = self._execute_module(
            module_name=self._task.action, module_args=arguments, task_vars=variables
        )
        return found
