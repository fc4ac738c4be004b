"""The controller's own ssh key, renewed: the hosts let both keys in, and the private key's file changes in between.

    steady     KEY; its public part is in the lists of the accounts
    announced  KEY, and KEY.next whose public part is in base_rotation_authorized_keys
    switched   KEY is the new one, KEY.previous the old, whose public part is in base_rotation_authorized_keys
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy import secrets, yaml_text
from deploy.errors import UsageError
from deploy.renewal import State
from deploy.static_inventory import StaticInventory, files_below

VARIABLE = "base_rotation_authorized_keys"
LISTS = ("base_ops_authorized_keys", "base_deploy_authorized_keys")
KEY = "ansible_ssh_private_key_file"


@dataclass(frozen=True)
class Renewal:
    """The key of an environment. file: where VARIABLE is written. listed: the lists' files, with the key in them."""

    path: Path
    file: Path
    listed: tuple[Path, ...]
    accepted: tuple[str, ...]

    @property
    def next(self) -> Path:
        """The private key that comes after it."""
        return self.path.with_name(f"{self.path.name}.next")

    @property
    def previous(self) -> Path:
        """The private key that was before it."""
        return self.path.with_name(f"{self.path.name}.previous")

    @property
    def state(self) -> State:
        """How far the renewal is, by what the hosts are told to accept."""
        if not self.accepted:
            return State.STEADY
        return State.ANNOUNCED if self.next.exists() and public(self.next) in self.accepted else State.SWITCHED

    def announce(self) -> None:
        """Draw the next key, and let the hosts be told of it. One that is there already is taken."""
        self.previous.unlink(missing_ok=True)  # of a renewal that was killed as it forgot it
        if not self.next.exists():
            partial = self.path.with_name(f".{self.path.name}.drawn")
            partial.unlink(missing_ok=True)
            _keygen("-q", "-t", "ed25519", "-N", "", "-C", comment(self.path), "-f", str(partial))
            partial.with_name(f"{partial.name}.pub").unlink()
            shutil.copystat(self.path, partial)
            partial.chmod(0o600)
            partial.rename(self.next)
        self._accept(public(self.next))

    def switch(self) -> None:
        """The next key takes the place of the present one, in the lists first: hosts accept both all the time."""
        old, new = public(self.path), public(self.next)
        self._accept(old, new)
        for file in self.listed:
            text = file.read_text(encoding="utf-8")
            secrets.write_whole(file, text.replace(_blob(old), _blob(new)))
        self._accept(old)
        self.finish()

    def finish(self) -> None:
        """Move the files; also those of a run that was killed before it had."""
        if self.next.exists():
            if not self.previous.exists():
                partial = self.path.with_name(f".{self.path.name}.kept")
                shutil.copy2(self.path, partial)
                partial.rename(self.previous)
            self.next.replace(self.path)
        written = self.path.with_name(f"{self.path.name}.pub")
        written.write_text(public(self.path) + "\n", encoding="utf-8")

    def forget(self) -> None:
        """The old key is nobody's any more."""
        secrets.write_whole(self.file, yaml_text.remove(self.file.read_text(encoding="utf-8"), VARIABLE))
        self.previous.unlink(missing_ok=True)

    def _accept(self, *keys: str) -> None:
        text = self.file.read_text(encoding="utf-8") if self.file.exists() else "---\n"
        line = f"{VARIABLE}: {json.dumps(list(keys))}\n"
        if yaml_text.has(text, VARIABLE):
            text = yaml_text.replace(text, VARIABLE, line)
        else:
            text = text + ("" if text.endswith("\n") or not text else "\n") + line
        secrets.write_whole(self.file, text)


def find(inventory: StaticInventory, root: Path) -> Renewal:
    """The controller's key of an environment. UsageError: it has none of its own, or one that no host knows."""
    env = f"inventories/{inventory.env}"
    paths = {
        str(setting.value)
        for host in inventory.groups["all"]
        if (setting := inventory.setting(host, KEY)) is not None
    }
    if len(paths) != 1:
        raise UsageError(
            f"{KEY} names {'no' if not paths else 'more than one'} key", env,
            "set it to the one key of the controller, or leave ssh out: --only KIND",
        )  # fmt: skip
    path = root / Path(paths.pop()).expanduser()
    if not path.is_file():
        raise UsageError(f"{path} is not there", env, "call this where the key is")
    accepted = [setting.value for setting in inventory.settings if setting.name == VARIABLE]
    made = Renewal(
        path, inventory.folder / secrets.FILE, _listed(inventory, path),
        tuple(accepted[0]) if accepted else (),
    )  # fmt: skip
    if made.state is State.SWITCHED and made.next.exists():
        made.finish()
    return made


def public(path: Path) -> str:
    """The public part of a private key: kind and key, without the comment."""
    return " ".join(_keygen("-y", "-P", "", "-f", str(path)).split()[:2])


def comment(path: Path) -> str:
    """What the public key's file says of whose it is."""
    written = path.with_name(f"{path.name}.pub")
    words = written.read_text(encoding="utf-8").split(maxsplit=2) if written.exists() else []
    return words[2].strip() if len(words) > 2 else "controller"


def _listed(inventory: StaticInventory, path: Path) -> tuple[Path, ...]:
    blobs = {_blob(public(each)) for each in (path, path.with_name(f"{path.name}.next")) if each.exists()}
    folders = (inventory.folder / "group_vars", inventory.folder / "host_vars")
    below = [found for folder in folders for _, found in files_below(folder)]
    files = [file for file in [inventory.folder / "hosts.yml", *below] if file.is_file() and not file.is_symlink()]
    named = [file for file in files if any(blob in file.read_text(encoding="utf-8") for blob in blobs)]
    found = tuple(file for file in named if file != inventory.folder / secrets.FILE)
    if not found:
        raise UsageError(
            f"{path} is in neither {LISTS[0]} nor {LISTS[1]}", f"inventories/{inventory.env}",
            "put its public part there",
        )  # fmt: skip
    return found


def _blob(key: str) -> str:
    return key.split()[1]


def _keygen(*words: str) -> str:
    done = subprocess.run(
        ["ssh-keygen", *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"SSH_ASKPASS_REQUIRE": "never"},
    )  # fmt: skip
    if done.returncode:
        raise UsageError(f"ssh-keygen: {done.stderr.strip()}", mend="a key with a passphrase is renewed by hand")
    return done.stdout
