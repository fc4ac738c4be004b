"""Draws the secrets that roles declare and writes them, encrypted, into an environment's inventory."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from getpass import getpass
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret, get_file_vault_secret

from deploy import declarations
from deploy.authority import new_authority
from deploy.errors import UsageError
from deploy.inventory import folder
from deploy.inventory_files import read
from deploy.role_files import Secret
from deploy.specs import ROOT, tree
from deploy.static_inventory import StaticInventory
from deploy.yaml_lines import Encrypted

FILE = "group_vars/all/20-secrets.yml"
_TOKEN_BYTES = 32
_HEAD = """---
# Secrets of this environment, drawn by `fab secrets.init`. To renew them: `fab secrets.rotate`.
"""


def draw(wanted: Iterable[Secret]) -> dict[str, str]:
    """New values in plain text by variable: URL-safe tokens of 32 random bytes; keys, certificates in PEM."""
    drawn: dict[str, str] = {}
    for secret in wanted:
        if secret.kind == "ca":
            drawn[secret.name], drawn[secret.certificate] = new_authority()
        else:
            drawn[secret.name] = secrets.token_urlsafe(_TOKEN_BYTES)
    return drawn


def dump(values: Mapping[str, str], vault: VaultLib | None) -> str:
    """YAML of `values`: each an inline `!vault` value, or as it is without a vault."""
    return "".join(f"{name}: {scalar(value, vault)}" for name, value in values.items())


def missing(env_dir: Path, root: Path = ROOT) -> list[Secret]:
    """Secrets that the roles of this environment declare and that its files do not set.

    UsageError: a file is not readable (what it sets is not known), or one of a key and its certificate is
    set without the other.
    """
    return _missing(inventory_of(env_dir, root))


def init(env: str, open_vault: Callable[[], VaultLib], root: Path = ROOT) -> list[str]:
    """Draw what is missing in environment `env` and append it to its file of secrets, encrypted.

    open_vault is called only if there is something to draw. Returns the variables drawn. What the file
    holds stays as it is; a run that is killed leaves it whole. UsageError: as `missing`; or the vault's
    password does not open the secrets that are there.
    """
    env_dir = folder(env, root)
    inventory = inventory_of(env_dir, root)
    wanted = _missing(inventory)
    if not wanted:
        return []
    vault = open_vault()
    same_password(inventory, vault)
    drawn = draw(wanted)
    _append(env_dir / FILE, dump(drawn, vault))
    return list(drawn)


def encrypted(env: str, root: Path = ROOT) -> bool:
    """Whether an environment holds anything that only a vault's password opens."""
    return any(isinstance(setting.value, Encrypted) for setting in inventory_of(folder(env, root), root).settings)


def vault_from(password_file: str) -> VaultLib:
    """A vault by a password file (or a script that prints one), else by a prompt, twice.

    UsageError: the file is missing or empty, or the two answers differ; or there is no terminal.
    """
    if password_file:
        try:
            secret = get_file_vault_secret(password_file, loader=DataLoader())
            secret.load()
        except AnsibleError as error:
            raise UsageError(f"the vault password cannot be read: {error.message}", password_file) from error
    elif not sys.stdin.isatty():
        raise UsageError(
            "a vault password is needed, and there is no terminal to ask on", mend="give --vault-password-file FILE"
        )
    else:
        first = getpass("New or present vault password: ")
        if not first or getpass("Once more: ") != first:
            raise UsageError("the two vault passwords differ or are empty", mend="run it again")
        secret = VaultSecret(first.encode())
    return VaultLib([("default", secret)])


def inventory_of(env_dir: Path, root: Path = ROOT) -> StaticInventory:
    """What the files of an environment say. UsageError: one of them is not sound."""
    inventory, problems = read(env_dir, root, tree(root))
    if problems:
        raise UsageError(f"the inventory is to be mended first: {problems[0]}")
    return inventory


def _missing(inventory: StaticInventory) -> list[Secret]:
    present = {setting.name for setting in inventory.settings}
    found = []
    for secret in declarations.secrets(inventory.tree, inventory.groups):
        if not secret.drawn:
            continue
        if secret.stand_in in present and secret.name not in present:
            continue  # made before there was this one; its first rotation draws it
        there = [name for name in secret.names if name in present]
        if there and len(there) < len(secret.names):
            lost = next(name for name in secret.names if name not in present)
            where = f"inventories/{inventory.env}"
            raise UsageError(
                f"{there[0]} is set, but {lost}, which belongs to it, is not",
                where,
                "set both or delete both",
            )
        if not there:
            found.append(secret)
    return found


def same_password(inventory: StaticInventory, vault: VaultLib) -> None:
    """UsageError: the vault does not open what the inventory holds."""
    setting = next((s for s in inventory.settings if isinstance(s.value, Encrypted)), None)
    if setting is None:
        return
    try:
        vault.decrypt(setting.value.ciphertext)
    except AnsibleError as error:
        place = f"{setting.place.file}:{setting.place.line}"
        raise UsageError(
            f"this vault password does not open {setting.name}", place, "run it again with the one that does"
        ) from error


def scalar(value: str, vault: VaultLib | None) -> str:
    """A value as YAML, with its line end: an inline `!vault` one, or as it is without a vault."""
    if vault is not None:
        return "!vault |\n" + _indented(vault.encrypt(value).decode())
    return "|\n" + _indented(value) if "\n" in value else json.dumps(value) + "\n"


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def _append(path: Path, text: str) -> None:
    before = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    if before and not before.endswith("\n"):
        before += "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, before + text)


def write_whole(path: Path, text: str) -> None:
    """Replace a file of the inventory in one step; a new one is its owner's alone, another keeps its mode."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")  # mode 0600; hidden from Ansible
    try:
        if path.exists():
            shutil.copymode(path, name)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
