"""`fab secrets.rotate`, `forget` and `rekey`: the steps of a renewal, each written down before it is carried out.

What is done on hosts is done by others (`Hands`): this decides what, in which order, and what is written when.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ansible.errors import AnsibleError
from ansible.parsing.vault import VaultLib

from deploy import renewal, secrets, sshkey, yaml_text
from deploy.errors import UsageError
from deploy.inventory import folder
from deploy.renewal import Renewable, State
from deploy.role_files import PREVIOUS
from deploy.specs import ROOT
from deploy.static_inventory import files_below
from deploy.yaml_lines import Encrypted

APPLICATION = "booking_app"
SSH = "ssh"
# When nobody can hold anything any more that the old value signed or let in.
PATIENCE = {"django": "14 days (sessions)", "jwt": "a day (refresh tokens)"}


class Hands(Protocol):
    """What changes hosts, and tells people what goes on."""

    def converge(self, tags: Sequence[str], overrides: Mapping[str, object]) -> None:
        """Run site.yml for some roles; overrides: variables that are to be taken for this instead."""

    def restart(self) -> None:
        """Start the application anew, host by host."""

    def prove(self, key: Path) -> None:
        """Every host lets both accounts in by this private key. NexusError: one does not."""

    def say(self, line: str) -> None:
        """Tell a person."""


@dataclass
class Job:
    """One environment whose secrets are renewed. open_vault is called only where something is encrypted."""

    env: str
    only: str
    hands: Hands
    open_vault: Callable[[], VaultLib]
    root: Path = ROOT

    def rotate(self) -> None:
        """Renew what was chosen: announced, then used, then only the forgetting is left. Goes on where a run ended."""
        found, key = self._found()
        fresh = [each for each in found if each.state is State.STEADY]
        if fresh:
            self._announce(fresh)
            self.hands.say(f"drawn beside the present: {_names(fresh)}")
        if key is not None and key.state is State.STEADY:
            key.announce()
            self.hands.say(f"drawn: {key.next}")
        found, key = self._found()
        if begun := [each for each in found if each.state is State.ANNOUNCED]:
            self.hands.say(f"old and new are accepted from here on: {_names(begun)}")
        announced_key = key is not None and key.state is State.ANNOUNCED
        if begun or announced_key:
            self._converge(begun, announced_key)
        if any(each.signs for each in begun):
            self.hands.restart()
        if announced_key and key is not None:
            self.hands.prove(key.next)
            key.switch()
            self.hands.say(f"{key.path} is the new key; {key.previous} the old one")
        if begun:
            self._edit(begun, renewal.switch)
            self.hands.say(f"the new is used from here on: {_names(begun)}")
        found, key = self._found()
        used = [each for each in found if each.state is State.SWITCHED]
        self._converge(used, key is not None)
        if used:
            self.hands.restart()
        for each in used:
            self.hands.say(f"{each.kind}: renewed; the old one is accepted until: {self._forget(each.kind)}")
        if key is not None:
            self.hands.say(f"{SSH}: renewed; the old key is accepted until: {self._forget(SSH)}")

    def forget(self) -> list[str]:
        """Withdraw the old values of what was renewed; answers the kinds. The inventory forgets them last."""
        found, key = self._found()
        old = [each for each in found if each.state is State.SWITCHED]
        for each in found:
            if each.state is State.ANNOUNCED:
                raise UsageError(
                    f"the renewal of {each.kind} is not done yet", str(each.file.relative_to(self.root)),
                    f"fab secrets.rotate --env {self.env} --only {each.kind}",
                )  # fmt: skip
        gone = key is not None and key.state is State.SWITCHED
        if not old and not gone:
            return []
        overrides: dict[str, object] = {each.secret.name + PREVIOUS: "" for each in old}
        if gone:
            overrides[sshkey.VARIABLE] = []
        self._converge(old, gone, overrides)
        if any(each.signs for each in old):
            self.hands.restart()
        self._edit(old, renewal.forget)
        if gone and key is not None:
            key.forget()
        return [each.kind for each in old] + [SSH] * gone

    def _found(self) -> tuple[list[Renewable], sshkey.Renewal | None]:
        inventory = secrets.inventory_of(folder(self.env, self.root), self.root)
        found = renewal.choose(renewal.find(inventory, self.root), self.only, [SSH])
        if self.only not in ("", SSH):
            return found, None
        try:
            return found, sshkey.find(inventory, self.root)
        except UsageError as error:
            if self.only:
                raise
            self.hands.say(f"{SSH} is left out: {error}")
            return found, None

    def _announce(self, fresh: Sequence[Renewable]) -> None:
        vault = self._vault(fresh)

        def edit(text: str, each: Renewable) -> str:
            own = vault if isinstance(each.value, Encrypted) else None

            def present() -> str:
                held = each.value
                plain = vault.decrypt(held.ciphertext).decode() if vault and isinstance(held, Encrypted) else str(held)
                return secrets.scalar(plain, own)

            new = next(iter(secrets.draw([each.secret]).values()))
            return renewal.announce(text, each, lambda: secrets.scalar(new, own), present)

        self._edit(fresh, edit)

    def _vault(self, fresh: Sequence[Renewable]) -> VaultLib | None:
        if not any(isinstance(each.value, Encrypted) for each in fresh):
            return None
        vault = self.open_vault()
        secrets.same_password(secrets.inventory_of(folder(self.env, self.root), self.root), vault)
        return vault

    def _edit(self, these: Sequence[Renewable], change: Callable[[str, Renewable], str]) -> None:
        """Change the files that hold some secrets, each file in one step."""
        for file in dict.fromkeys(each.file for each in these):
            text = file.read_text(encoding="utf-8")
            for each in (one for one in these if one.file == file):
                try:
                    text = change(text, each)
                except yaml_text.NoKeyError as error:
                    raise UsageError(
                        f"{error} is not written at the beginning of a line, as `{error}: value`",
                        str(file.relative_to(self.root)),
                    ) from None
            secrets.write_whole(file, text)

    def _converge(self, these: Sequence[Renewable], key: bool, overrides: Mapping[str, object] | None = None) -> None:
        roles = [each.role for each in these] + ([APPLICATION] if these else []) + (["base"] if key else [])
        if roles:
            self.hands.converge(list(dict.fromkeys(roles)), overrides or {})

    def _forget(self, kind: str) -> str:
        command = f"fab secrets.forget --env {self.env} --only {kind}"
        return f"{command}, after {PATIENCE[kind]}" if kind in PATIENCE else command


def rekey(env: str, old: VaultLib, new: VaultLib, root: Path = ROOT) -> int:
    """Encrypt every value of an environment with another password; answers how many.

    What the new one opens already is left, so that a run that was killed is finished by the next. UsageError: a value
    that neither opens; no file was changed.
    """
    path, changed, texts = folder(env, root), 0, {}

    def change(ciphertext: str) -> str:
        nonlocal changed
        if _opens(new, ciphertext) is not None:
            return ciphertext
        plain = _opens(old, ciphertext)
        if plain is None:
            raise UsageError("neither password opens a value", str(file.relative_to(root)), "give the present one")
        changed += 1
        return str(new.encrypt(plain).decode())

    below = [found for name in ("group_vars", "host_vars") for _, found in files_below(path / name)]
    for file in [path / "hosts.yml", *below]:
        if file.is_file() and not file.is_symlink():
            text = file.read_text(encoding="utf-8")
            if (fresh := yaml_text.reencrypt(text, change)) != text:
                texts[file] = fresh
    for file, fresh in texts.items():
        secrets.write_whole(file, fresh)
    return changed


def overridden(overrides: Mapping[str, object]) -> list[str]:
    """Variables as ansible-playbook takes them. They are empty ones: a secret never stands on a command line."""
    return ["--extra-vars", json.dumps(dict(overrides))] if overrides else []


def _opens(vault: VaultLib, ciphertext: str) -> bytes | None:
    try:
        return bytes(vault.decrypt(ciphertext))
    except AnsibleError:
        return None


def _names(these: Sequence[Renewable]) -> str:
    return ", ".join(each.kind for each in these)
