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
options:
  files:
    description: The files and folders, in order.
    type: list
    elements: dict
    required: true
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
author: Nexus contributors
"""

EXAMPLES = r"""
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

import grp  # noqa: E402 - Ansible reads the documentation above first
import os  # noqa: E402 - as above
import pwd  # noqa: E402 - as above
import shlex  # noqa: E402 - as above
import shutil  # noqa: E402 - as above
import tempfile  # noqa: E402 - as above
from pathlib import Path  # noqa: E402 - as above
from typing import Any  # noqa: E402 - as above

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - as above

OPTIONS: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "state": {"type": "str", "choices": ["file", "directory", "absent"], "default": "file"},
    "content": {"type": "str"},
    "create_only": {"type": "bool", "default": False},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str"},
}


def differs(entry: dict[str, Any]) -> bool:
    """Whether the host differs from what *entry* asks for."""
    path = Path(entry["path"])
    if entry["state"] == "absent":
        return path.exists() or path.is_symlink()
    wanted = _wanted(entry)  # an owner that does not exist fails here, before anything is touched
    if entry["state"] == "directory":
        return not path.is_dir() or _attributes(path) != wanted
    if not path.is_file() or path.is_symlink():
        return True
    return before(entry) != after(entry) or _attributes(path) != wanted


def before(entry: dict[str, Any]) -> str:
    """The file's present content; "" where there is none."""
    path = Path(entry["path"])
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def after(entry: dict[str, Any]) -> str:
    """The content that the file is to have."""
    kept = entry["create_only"] and Path(entry["path"]).is_file()
    return before(entry) if kept else str(entry["content"] or "")


def check(module: AnsibleModule, entry: dict[str, Any]) -> None:
    """Fail unless the entry's own command accepts its new content."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=module.tmpdir) as candidate:
        candidate.write(after(entry))
        candidate.flush()
        code, out, err = module.run_command(shlex.split(entry["validate"] % candidate.name))
    if code:
        module.fail_json(msg=f"{entry['path']} was left as it is: `{entry['validate']}` refused the new content: "
                             f"{(err or out).strip()}")


def apply(entry: dict[str, Any]) -> None:
    """Make the host what *entry* asks for."""
    path = Path(entry["path"])
    if entry["state"] == "absent":
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        return
    if entry["state"] == "directory":
        path.mkdir(parents=True, exist_ok=True)
    elif before(entry) != after(entry) or not path.is_file() or path.is_symlink():
        replace(path, after(entry), entry)
        return
    own(path, entry)


def replace(path: Path, content: str, entry: dict[str, Any]) -> None:
    """Give *path* its content in one step. What is being written is readable by root alone until it is owned."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as candidate:
            candidate.write(content)
        own(Path(name), entry)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def own(path: Path, entry: dict[str, Any]) -> None:
    """Give *path* the owner, group and permissions of *entry*."""
    mode, user, group = _wanted(entry)
    shutil.chown(path, user, group)
    path.chmod(mode)


def _attributes(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mode & 0o7777, found.st_uid, found.st_gid


def _wanted(entry: dict[str, Any]) -> tuple[int, int, int]:
    user, group = pwd.getpwnam(entry["owner"]), grp.getgrnam(entry["group"])
    return int(entry["mode"], 8), user.pw_uid, group.gr_gid


def main() -> None:
    """Check all, then apply what differs."""
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS}},
        supports_check_mode=True,
    )
    try:
        changed = [entry for entry in module.params["files"] if differs(entry)]
        for entry in changed:
            if entry["state"] == "file" and entry["validate"] and before(entry) != after(entry):
                check(module, entry)
        diff = [
            {"before_header": entry["path"], "after_header": entry["path"], "before": before(entry),
             "after": after(entry)}
            for entry in changed if entry["state"] == "file"
        ]
        if not module.check_mode:
            for entry in changed:
                apply(entry)
    except (OSError, KeyError, ValueError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(changed), paths=[entry["path"] for entry in changed], diff=diff)


if __name__ == "__main__":
    main()
