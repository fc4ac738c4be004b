"""What a host is like, asked for in one round trip, and kept until an operation changes it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

from pyinfra.api import FactBase, Host, StringCommand
from pyinfra.api.exceptions import PyinfraError

from deploy.specs import ROOT

PROGRAM = "plugins/module_utils/host_state.py"
PYTHON = "python3 -"


def _load() -> ModuleType:
    """What runs on hosts, here: it stands where Ansible looks for it, which is no package."""
    spec = spec_from_file_location("nexus_host_state", ROOT / PROGRAM)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_SHARED = _load()
SYSTEMD: str = _SHARED.SYSTEMD
PENDING = _SHARED.PENDING
digest = _SHARED.digest
file_differs = _SHARED.file_differs
account_commands = _SHARED.account_commands
plan_units = _SHARED.plan_units
names_of = _SHARED.names_of


@cache
def _code() -> str:
    return (ROOT / PROGRAM).read_text(encoding="utf-8")


def program(call: str, *arguments: Any) -> str:
    """A Python program for a host's standard input: Nexus's own code, and one call of it with plain data.

    Nothing of it stands on a command line, so that it may hold secrets.
    """
    return f"""{_code()}
import json, sys
try:
    print(json.dumps({call}(*json.loads({json.dumps(arguments)!r}))))
except (OSError, ValueError, RefusedError) as error:
    sys.exit(str(error))
"""


def command(call: str, *arguments: Any) -> StringCommand:
    """Has a host do one call of plugins/module_utils/host_state.py."""
    return StringCommand(PYTHON, _stdin=program(call, *arguments))


class HostState(FactBase[dict[str, Any]]):
    """What `look` of that module finds; its program comes by `_stdin`."""

    def command(self) -> str:
        """The program comes on standard input."""
        return PYTHON

    @staticmethod
    def default() -> dict[str, Any]:
        """Nothing is known."""
        return {}

    def process(self, output: list[str]) -> dict[str, Any]:
        """One line of JSON."""
        found: dict[str, Any] = json.loads(output[-1])
        return found


class Snapshot:
    """A host as it was found. wanted: everything that the operations of this run will ask for."""

    def __init__(self, host: Host, wanted: Mapping[str, Any]) -> None:
        self.host, self.wanted = host, wanted
        self._found: dict[str, Any] | None = None

    def look(self) -> dict[str, Any]:
        """What is there; asked for anew after something was changed. PyinfraError: the host does not tell."""
        if not self._found:
            self._found = self.host.get_fact(HostState, _stdin=program("look", self.wanted))
            if not self._found:
                raise PyinfraError(f"{self.host.name} does not tell how it is; what it said stands above")
        return self._found

    def forget(self) -> None:
        """Something has been changed."""
        self._found = None

    def file(self, path: str) -> dict[str, Any]:
        """What is at a path."""
        found: dict[str, Any] = self.look()["files"][path]
        return found

    def answer(self, name: str) -> tuple[int, str]:
        """Exit status and output of a question."""
        status, said = self.look()["answers"][name]
        return int(status), str(said)

    def missing(self, packages: Sequence[str]) -> list[str]:
        """Those that are not installed."""
        installed = set(self.look()["packages"]["installed"])
        return [name for name in packages if name not in installed]
