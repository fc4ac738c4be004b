"""The reference of convergence: shell scripts as a person would write them for one host, from what the roles declare.

One compares and tells what differs; one makes everything on a fresh host that has the packages. Each goes to the host
over one ssh.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deploy import host_declarations as declarations
from deploy.declarations import View
from deploy.provision.host_state import PENDING, account_commands, digest
from deploy.provision.roles import declaring, questions, roles_of
from deploy.rendering import Renderer

END = "END-OF-FILE"
ALL_IS_WELL = "all is well"

CHECK = """\
fail=0
differs() { echo "$1 differs"; fail=1; }
same() { diff --brief "$1" "$2" > /dev/null || differs "$3"; }
"""
MAKE = """\
set -e
put() { install -D -o "$1" -g "$2" -m "$3" /dev/stdin "$4"; }
checked() {
  local file; file=$(mktemp); cat > "$file"
  ${5//%s/$file} > /dev/null 2>&1; put "$1" "$2" "$3" "$4" < "$file"; rm "$file"
}
taken_in() { if systemctl is-active --quiet "$2"; then systemctl "$1" "$2"; else systemctl start "$2"; fi; }
"""
Entry = Mapping[str, Any]


class ByHand:
    """The scripts for one host. UsageError: something declared does not resolve."""

    def __init__(self, view: View, host: str) -> None:
        self.view, self.host, self.renderer = view, host, Renderer(view, host)
        self.roles = declaring(roles_of(view, host))

    def check(self) -> str:
        """Says what differs, and fails if anything does; else says that all is well."""
        files = [entry for role in self.roles for name in self._sets(role) for entry in self._files(role, name)]
        units = [unit for role in self.roles for unit in declarations.units(role, self.renderer)]
        return CHECK + "".join([
            *self._checked_files(files), *self._checked_packages(), *self._checked_accounts(),
            *self._checked_units(units),
            *(f"{shlex.join(words)} > /dev/null || differs {shlex.quote(name)}\n"
              for name, words in questions(self.view, self.host, self.roles).items()),
            f'[ -z "$(ls -A {PENDING} 2> /dev/null)" ] || differs {PENDING}\n',
            f"[ $fail = 0 ] && echo {shlex.quote(ALL_IS_WELL)}\nexit $fail\n",
        ])  # fmt: skip

    def make(self) -> str:
        """Makes accounts, files and units, in the roles' order, where there are none."""
        return MAKE + "".join(line for role in self.roles for line in self._made(role))

    def _sets(self, role: str) -> list[str]:
        return list(declarations.declared(role).files)

    def _files(self, role: str, name: str) -> list[dict[str, Any]]:
        return declarations.files(role, self.renderer, name)

    @staticmethod
    def _checked_files(files: Sequence[Entry]) -> Iterator[str]:
        there = [entry for entry in files if entry["state"] != "absent"]
        sums = [f"{digest(entry)}  {entry['path']}" for entry in there if _has_content(entry)]
        yield f"sha256sum --check --quiet - <<'{END}' || fail=1\n" + "\n".join(sums) + f"\n{END}\n"
        states = [
            f"{int(entry['mode'], 8):o} {entry['owner']} {entry['group']} "
            f"{'directory' if entry['state'] == 'directory' else 'file'} {entry['path']}"
            for entry in there
        ]
        paths = " ".join(shlex.quote(entry["path"]) for entry in there)
        told = f"stat --format='%a %U %G %F %n' {paths} | sed -E 's/regular (empty )?file/file/'"
        yield f"same <({told}) - modes <<'{END}'\n"
        yield "\n".join(states) + f"\n{END}\n"
        for entry in files:
            if entry["state"] == "absent":
                path = shlex.quote(entry["path"])
                yield f"[ ! -e {path} ] || differs {path}\n"

    def _checked_packages(self) -> Iterator[str]:
        wanted, unwanted = self._packages()
        # of a package that it has never heard of it says nothing
        yield f"[ $(dpkg-query --show --showformat='${{db:Status-Status}}\\n' {shlex.join(wanted)} 2> /dev/null " \
              f"| grep -cx installed) = {len(wanted)} ] || differs packages\n"
        yield f"dpkg-query --show --showformat='${{db:Status-Status}}\\n' {shlex.join(unwanted)} 2> /dev/null " \
              "| grep -qvx not-installed && differs 'unwanted packages'\n"

    def _packages(self) -> tuple[list[str], list[str]]:
        values = {role: self.view.value(self.host, f"{role}_packages") for role in self.roles}
        wanted = list(dict.fromkeys(name for names in values.values() for name in names))
        return wanted, [name for name in self.view.value(self.host, "base_absent_packages") if name not in wanted]

    def _checked_accounts(self) -> Iterator[str]:
        accounts = [entry for role in self.roles for entry in declarations.accounts(role, self.renderer)]
        lines = [f"{entry['home']}:{entry['shell']}" for entry in accounts]
        names = " ".join(entry["name"] for entry in accounts)
        yield f"same <(getent passwd {names} | cut -d: -f6-) - accounts <<'{END}'\n" + "\n".join(lines) + f"\n{END}\n"

    @staticmethod
    def _checked_units(units: Sequence[Entry]) -> Iterator[str]:
        enabled = [unit["name"] for unit in units if unit["enabled"]]
        started = [unit["name"] for unit in units if unit["state"] == "started"]
        every = " ".join(unit["name"] for unit in units)
        yield f"systemctl is-enabled {' '.join(enabled)} | grep -qvx enabled && differs 'enabled units'\n"
        yield f"systemctl is-active {' '.join(started)} | grep -qvx active && differs 'active units'\n"
        yield f"systemctl show --property=NeedDaemonReload {every} | grep -q yes && differs 'units on disk'\n"

    def _made(self, role: str) -> Iterator[str]:
        for entry in declarations.accounts(role, self.renderer):
            yield from (f"{shlex.join(words)}\n" for words in account_commands(entry, None))
        for name in self._sets(role):
            for entry in self._files(role, name):
                yield made_file(entry)
        yield "systemctl daemon-reload\n"
        for unit in declarations.units(role, self.renderer):
            if unit["enabled"]:
                yield f"systemctl enable --quiet {unit['name']}\n"
        for entry in declarations.renewals(role, self.renderer):
            yield from (f"{entry[key]} > /dev/null\n" for key in ("check", "run") if entry[key])
            yield from (f"taken_in {act} {entry[act]}\n" for act in ("reload", "restart") if entry[act])
        for unit in declarations.units(role, self.renderer):
            if unit["state"] == "started":
                yield f"systemctl start {unit['name']}\n"
        if role == "firewall":
            yield f"firewall-guard load {self.view.value(self.host, 'firewall_revert_seconds')}\n"


def _has_content(entry: Entry) -> bool:
    return bool(entry["state"] == "file" and not entry["create_only"])


def made_file(entry: Entry) -> str:
    """The lines that make a file or folder, or remove it."""
    path, ids = shlex.quote(entry["path"]), f"{entry['owner']} {entry['group']}"
    if entry["state"] == "absent":
        return f"rm -rf {path}\n"
    if entry["state"] == "directory":
        return f"install -d -o {entry['owner']} -g {entry['group']} -m {entry['mode']} {path}\n"
    call = f"checked {ids} {entry['mode']} {path} {shlex.quote(entry['validate'])}" if entry["validate"] else (
        f"put {ids} {entry['mode']} {path}"
    )  # fmt: skip
    content = entry["content"] or ""
    if content.endswith("\n"):
        return f"{call} <<'{END}'\n{content}{END}\n"
    return f"printf %s {shlex.quote(content)} | {call}\n"
