#!/usr/bin/python
"""Accounts as they should be, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_accounts
short_description: Accounts as they should be, in one call
description:
  - What a role declares in C(meta/host.yml) is named by I(role).
  - No password can log in to an account that this makes.
options:
  role:
    description: The role whose declared accounts are meant, instead of C(accounts).
    type: str
  accounts:
    description: The accounts, in order; required without I(role).
    type: list
    elements: dict
    suboptions:
      name:
        description: The account's name, and that of its group.
        type: str
        required: true
      system:
        description: Whether it gets a number of those for services.
        type: bool
        default: false
      shell:
        description: Its shell.
        type: str
        default: /bin/bash
      home:
        description: Its home.
        type: str
        required: true
      create_home:
        description: Whether the home is made.
        type: bool
        default: true
author: Nexus contributors
"""

EXAMPLES = r"""
- name: The user that runs the service exists
  managed_accounts: {role: booking_app}
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
    RefusedError,
    account_commands,
    account_state,
    run,
)

OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "system": {"type": "bool", "default": False},
    "shell": {"type": "str", "default": "/bin/bash"},
    "home": {"type": "str", "required": True},
    "create_home": {"type": "bool", "default": True},
}


def main() -> None:
    """Look, then do what is missing."""
    module = AnsibleModule(
        argument_spec={"accounts": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS}},
        supports_check_mode=True,
    )
    try:
        commands = [
            command for entry in module.params["accounts"]
            for command in account_commands(entry, account_state(entry["name"]))
        ]
        if not module.check_mode:
            for command in commands:
                run(command)
    except (OSError, RefusedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(commands), commands=[" ".join(command) for command in commands])


if __name__ == "__main__":
    main()
