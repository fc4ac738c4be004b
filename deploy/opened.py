"""An environment with its secrets: what convergence needs, and nothing else has."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy import inventory
from deploy.errors import UsageError
from deploy.inventory import Fleet
from deploy.specs import ROOT, Tree

if TYPE_CHECKING:
    from ansible.parsing.vault import VaultLib

    from deploy.static_inventory import StaticInventory

_MARK = "__ansible_vault"


class Opened:
    """A `declarations.View` that tells every value. open_vault: how to come by the vault, called at most once."""

    def __init__(self, fleet: Fleet, open_vault: Callable[[], VaultLib], root: Path = ROOT) -> None:
        self.fleet, self._open, self._root = fleet, open_vault, root
        self._clear: dict[str, str] = {}

    @property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Host names by group."""
        return self.fleet.groups

    @property
    def tree(self) -> Tree:
        """The source tree."""
        return self.fleet.tree

    def value(self, host: str, name: str) -> Any:
        """A variable as it holds on `host`. UsageError: as of Fleet.value; or the vault does not open it."""
        found = self.fleet.hosts[host].variables.get(name) if host in self.fleet.hosts else None
        if not (isinstance(found, dict) and _MARK in found):
            return self.fleet.value(host, name)
        return self._decrypted(found[_MARK], host, name) if found[_MARK] else self._written(host, name)

    def _decrypted(self, ciphertext: str, host: str, name: str) -> str:
        if ciphertext not in self._clear:
            from ansible.errors import AnsibleError

            try:
                self._clear[ciphertext] = self._vault.decrypt(ciphertext).decode()
            except AnsibleError:
                raise UsageError(
                    f"this vault password does not open {name} (host '{host}')", f"inventories/{self.fleet.env}",
                    "call it again with the one that does: ANSIBLE_VAULT_PASSWORD_FILE, or at the prompt",
                ) from None  # fmt: skip
        return self._clear[ciphertext]

    def _written(self, host: str, name: str) -> Any:
        """A secret that the inventory holds in the clear: `Fleet` has it veiled, the files say it."""
        if host not in self._files.groups["all"]:
            raise UsageError(
                f"{name} stands in the clear, and host '{host}' in no file", f"inventories/{self.fleet.env}",
                "encrypt it: ansible-vault encrypt_string",
            )  # fmt: skip
        return self._files.value(host, name)

    @cached_property
    def _vault(self) -> VaultLib:
        return self._open()

    @cached_property
    def _files(self) -> StaticInventory:
        from deploy.inventory_files import read

        found, _ = read(inventory.folder(self.fleet.env, self._root), self._root, self.tree)
        return found


def vault() -> VaultLib:
    """The vault by ANSIBLE_VAULT_PASSWORD_FILE, or by what a person types. UsageError: neither is there."""
    from deploy import secrets

    file = os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE", "")
    if not file and not sys.stdin.isatty():
        raise UsageError(
            "the inventory holds encrypted values, and nobody is there to type the vault's password",
            mend="name the file that has it: ANSIBLE_VAULT_PASSWORD_FILE=…",
        )
    return secrets.vault_from(file)
