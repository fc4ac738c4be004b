#!/usr/bin/python
"""Puts many files and folders in place in one call, all checked before the first is replaced."""

from __future__ import annotations

DOCUMENTATION = r"""
module: managed_files
short_description: Many files and folders in place, in one call
description:
  - A call of a module costs far more than writing a file, so what a role puts on a host goes in one call.
  - Every content with a C(validate) is checked before any file is replaced; files are replaced atomically.
  - Without a failure the entries are carried out in order, so that a folder may precede its files.
  - What a role declares in C(meta/host.yml) is rendered on the controller and named by I(role) and I(set).
options:
  role:
    description: The role whose declared files are meant, instead of C(files).
    type: str
  set:
    description: Which of its sets.
    type: str
    default: main
  names:
    description: Names that its templates use and that only the moment knows.
    type: dict
  files:
    description: The files and folders, in order; required without I(role).
    type: list
    elements: dict
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
          What has to take the file in. It is noted on disk before anything is touched, until M(managed_units) has
          settled it: the next run does so where this one was killed.
        type: str
        default: ""
author: Nexus contributors
"""

EXAMPLES = r"""
- name: What the role declares is in place
  managed_files: {role: nginx}
- name: Configuration is in place
  managed_files:
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
"""

from typing import Any  # noqa: E402 - Ansible reads the documentation above first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - as above
from ansible.module_utils.host_state import (  # noqa: E402 - as above
    RefusedError,
    file_differs,
    file_state,
    place_files,
)

OPTIONS: dict[str, Any] = {
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


def main() -> None:
    """Check all, then apply what differs."""
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS}},
        supports_check_mode=True,
    )
    entries = module.params["files"]
    try:
        changed = [entry for entry in entries if file_differs(entry, file_state(entry["path"]))]
        diff = [
            {"before_header": entry["path"], "after_header": entry["path"], "before": before(entry),
             "after": after(entry)}
            for entry in changed if entry["state"] == "file"
        ]
        # A check replaces nothing, so that what a content is checked with may not be there either.
        if changed and not module.check_mode:
            place_files(changed, folder=module.tmpdir)
    except (OSError, ValueError, RefusedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), paths=[entry["path"] for entry in changed], diff=diff)


if __name__ == "__main__":
    main()
