#!/usr/bin/python
"""Accounts, files and units of a host as they should be, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_host
short_description: Accounts, files and units of a host as they should be, in one call
description:
  - A call of a module costs far more than what it does, so what belongs together goes in one; accounts come first, then
    files, then units.
  - Every content with a C(validate) is checked before any file is replaced. Files are replaced atomically and in order,
    so that a folder may precede its files.
  - A masked unit is unmasked, and systemd reads its units again where it has to. What a run that was killed has left
    pending is taken in by the next.
  - What a role declares in C(meta/host.yml) is rendered on the controller. With I(role) each of the others is named by
    a set of it.
options:
  role:
    description: The role whose declarations are meant.
    type: str
  names:
    description: With I(role), names that its templates use and that only the moment knows.
    type: dict
  accounts:
    description: The accounts, in order; with I(role) whether its accounts are meant. No password can log in to one.
    type: list
    elements: dict
    default: []
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
  files:
    description: The files and folders, in order; with I(role) the name of a set.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path on the host.
        type: path
        required: true
      state:
        description: A file with C(content), a folder, or nothing at all.
        type: str
        choices: [file, directory, absent]
        default: file
      content:
        description: The file's whole content; required for C(state=file).
        type: str
      create_only:
        description: A file that exists keeps its content.
        type: bool
        default: false
      owner:
        description: User that owns it.
        type: str
        default: root
      group:
        description: Group that owns it.
        type: str
        default: root
      mode:
        description: Permissions, octal.
        type: str
        default: "0644"
      validate:
        description: Command that must accept the new content; C(%s) stands for a file that holds it.
        type: str
        default: ""
      pending:
        description: >-
          What has to take the file in. It is noted on disk before anything is touched, until a call with its renewal
          has settled it: the next run does so where this one was killed.
        type: str
        default: ""
  units:
    description: The units, in order; with I(role) the name of a set, of which the renewals are taken as well.
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
    description: How what was noted as pending is taken in, in order.
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
- name: What the role declares is in place, and in force
  managed_host: {role: cron, files: main, units: main}
- name: Configuration is in place
  managed_host:
    files:
      - {path: /etc/app, state: directory, mode: "0755"}
      - path: /etc/app/app.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/app/app.conf.j2') }}"
        validate: app --check %s
"""

RETURN = r"""
paths:
  description: The paths that changed (or would, in check mode).
  type: list
  elements: str
  returned: always
commands:
  description: What was done to accounts and units (or would be, in check mode).
  type: list
  elements: str
  returned: always
"""

from typing import Any  # noqa: E402 - Ansible reads the documentation above first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - as above
from ansible.module_utils.host_state import (  # noqa: E402 - as above
    SYSTEMD,
    RefusedError,
    account_commands,
    account_state,
    file_differs,
    file_state,
    is_pending,
    names_of,
    place_files,
    plan_units,
    run,
    unit_states,
)

ACCOUNT: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "system": {"type": "bool", "default": False},
    "shell": {"type": "str", "default": "/bin/bash"},
    "home": {"type": "str", "required": True},
    "create_home": {"type": "bool", "default": True},
}
FILE: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "absent"], "default": "file"},
    "content": {"type": "str"},
    "create_only": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str", "default": ""},
    "pending": {"type": "str", "default": ""},
}
UNIT: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "stopped", ""], "default": "started"},
    "enabled": {"type": "bool", "default": True},
}
RENEWAL: dict[str, Any] = {
    "pending": {"type": "str", "required": True},
    **{name: {"type": "str", "default": ""} for name in ("check", "run", "reload", "restart")},
}


def before(entry: dict[str, Any]) -> str:
    """The file's present content; "" where there is none."""
    if file_state(entry["path"])["kind"] != "file":
        return ""
    with open(entry["path"], encoding="utf-8", errors="replace") as stream:  # noqa: PTH123 - shorter than a Path here
        return stream.read()


def after(entry: dict[str, Any]) -> str:
    """The content that the file is to have."""
    kept = entry["create_only"] and file_state(entry["path"])["kind"] == "file"
    return before(entry) if kept else str(entry["content"] or "")


def accounts(module: AnsibleModule) -> list[str]:
    """What was done to accounts, or would be."""
    wanted = module.params["accounts"]
    return _run(module, [words for each in wanted for words in account_commands(each, account_state(each["name"]))])


def files(module: AnsibleModule) -> tuple[list[str], list[dict[str, str]]]:
    """The paths of files that were changed, or would be, and how."""
    changed = [entry for entry in module.params["files"] if file_differs(entry, file_state(entry["path"]))]
    diff = [
        {"before_header": entry["path"], "after_header": entry["path"], "before": before(entry), "after": after(entry)}
        for entry in changed if entry["state"] == "file"
    ]
    # A check replaces nothing, so that what a content is checked with may not be there either.
    if changed and not module.check_mode:
        place_files(changed, folder=module.tmpdir)
    return [entry["path"] for entry in changed], diff


def units(module: AnsibleModule) -> list[str]:
    """What was done to units, or would be."""
    wanted, renewals = module.params["units"], module.params["renewals"]
    if not wanted and not renewals:
        return []
    names = {SYSTEMD, *(name for entry in renewals for name in entry["pending"].split())}
    pending = [name for name in sorted(names) if is_pending(name)]
    return _run(module, plan_units(wanted, renewals, unit_states(names_of(wanted, renewals)), pending))


def _run(module: AnsibleModule, commands: list[list[str]]) -> list[str]:
    for command in commands if not module.check_mode else ():
        run(command)
    return [" ".join(command) for command in commands]


def main() -> None:
    """Look, then do what is missing."""
    lists = {"accounts": ACCOUNT, "files": FILE, "units": UNIT, "renewals": RENEWAL}
    module = AnsibleModule(
        argument_spec={
            name: {"type": "list", "elements": "dict", "default": [], "options": options}
            for name, options in lists.items()
        },
        supports_check_mode=True,
    )
    done: dict[str, Any] = {"paths": [], "commands": [], "diff": []}
    try:
        done["commands"] += accounts(module)
        done["paths"], done["diff"] = files(module)
        done["commands"] += units(module)
    except (OSError, ValueError, RefusedError) as error:
        module.fail_json(msg=str(error), changed=bool(done["paths"] or done["commands"]), **done)
    module.exit_json(changed=bool(done["paths"] or done["commands"]), **done)


if __name__ == "__main__":
    main()
