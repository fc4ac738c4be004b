#!/usr/bin/python
"""Units of systemd as they should be, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_units
short_description: Units of systemd as they should be, in one call
description:
  - What a role declares in C(meta/host.yml) is named by I(role) and I(set).
  - A masked unit is unmasked, and systemd reads its units again where it has to.
  - What a run that was killed has left pending is taken in by the next.
options:
  role:
    description: The role whose declared units are meant, instead of C(units).
    type: str
  set:
    description: Which of its sets.
    type: str
    default: main
  units:
    description: The units, in order.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The unit's name with its ending.
        type: str
        required: true
      state:
        description: Whether it runs; empty for whatever it is.
        type: str
        choices: [started, stopped, ""]
        default: started
      enabled:
        description: Whether it starts at boot.
        type: bool
        default: true
  renewals:
    description: How what M(managed_files) noted as pending is taken in, in order.
    type: list
    elements: dict
    default: []
    suboptions:
      pending:
        description: The names, with spaces between; any of them is reason enough.
        type: str
        required: true
      check:
        description: A command that must succeed first.
        type: str
        default: ""
      run:
        description: A command that takes it in.
        type: str
        default: ""
      reload:
        description: A unit that is reloaded, or started where it does not run.
        type: str
        default: ""
      restart:
        description: A unit that is restarted.
        type: str
        default: ""
author: Nexus contributors
"""

EXAMPLES = r"""
- name: The service runs
  managed_units: {role: nginx}
"""

RETURN = r"""
commands:
  description: What was done (or would be, in check mode).
  type: list
  elements: str
  returned: always
"""

from typing import Any  # noqa: E402 - Ansible reads the documentation above first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - as above
from ansible.module_utils.host_state import (  # noqa: E402 - as above
    SYSTEMD,
    RefusedError,
    is_pending,
    names_of,
    plan_units,
    run,
    unit_states,
)

UNIT: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "stopped", ""], "default": "started"},
    "enabled": {"type": "bool", "default": True},
}
RENEWAL: dict[str, Any] = {
    "pending": {"type": "str", "required": True},
    **{name: {"type": "str", "default": ""} for name in ("check", "run", "reload", "restart")},
}


def main() -> None:
    """Look, then do what is missing."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "dict", "default": [], "options": UNIT},
            "renewals": {"type": "list", "elements": "dict", "default": [], "options": RENEWAL},
        },
        supports_check_mode=True,
    )
    units, renewals = module.params["units"], module.params["renewals"]
    try:
        names = {SYSTEMD, *(name for entry in renewals for name in entry["pending"].split())}
        pending = [name for name in sorted(names) if is_pending(name)]
        commands = plan_units(units, renewals, unit_states(names_of(units, renewals)), pending)
        for command in commands if not module.check_mode else ():
            run(command)
    except (OSError, ValueError, RefusedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(commands), commands=[" ".join(command) for command in commands])


if __name__ == "__main__":
    main()
