"""What a renewal of secrets does on hosts: converge, restart the application, try a key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ansible.parsing.vault import VaultLib

from deploy import inventory, rotate
from deploy.errors import NoReleaseError, PreflightError, UnchangedError
from deploy.inventory import Host
from deploy.release import engine, show
from deploy.specs import ROOT
from deploy.tasks import operator

ACCOUNTS = ("ops", "deploy")


@dataclass
class Fleet:
    """The hosts of an environment. password_file: the vault's, or ""; then open_vault asks a person for it.

    encrypted: whether the inventory holds anything that only the vault's password opens.
    """

    env: str
    password_file: str
    encrypted: bool
    open_vault: Callable[[], VaultLib]
    root: Path = ROOT

    def converge(self, tags: Sequence[str], overrides: Mapping[str, object]) -> None:
        """Run site.yml for some roles. UnchangedError: it failed."""
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"), "-i", f"inventories/{self.env}", "site.yml",
            "--tags", ",".join(tags), *rotate.overridden(overrides),
        ]  # fmt: skip
        self.say(" ".join(["ansible-playbook", *command[1:]]))
        with self.password() as (file, handles):
            words = ["--vault-password-file", file] if file else []
            code = subprocess.run(
                [*command, *words], cwd=self.root, check=False, pass_fds=handles, stdin=subprocess.DEVNULL,
                env=os.environ | {"ANSIBLE_CONFIG": str(self.root / "ansible.cfg")},
            ).returncode  # fmt: skip
        if code:
            raise UnchangedError(
                "site.yml failed; whatever was accepted before still is", f"environment {self.env}",
                "mend what it said, then call the same command again: it goes on from here",
            )  # fmt: skip

    def restart(self) -> None:
        """Start the application anew, host by host; there may be none yet."""
        try:
            self.say(show.summary(engine.restart(self.env, wait=600)))
        except NoReleaseError:
            self.say("no release is there yet, and so none is restarted")

    def prove(self, key: Path) -> None:
        """Log in everywhere by this key. PreflightError: a host refuses it, or does not answer."""
        fleet = inventory.load(self.env, self.root)

        def attempt(host: Host, account: str) -> str:
            changed = replace(
                host, variables={**host.variables, "ansible_ssh_private_key_file": str(key), "ansible_user": account}
            )
            asked = replace(fleet, hosts={**fleet.hosts, host.name: changed})
            words = operator.ssh(asked, changed, ["true"], root=self.root)
            # neither a connection that is open already, nor another key
            words[1:1] = ["-o", "ControlPath=none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
            done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            return f"{account}@{host.name}: {done.stderr.strip()}" if done.returncode else ""

        pairs = [(host, account) for host in fleet.hosts.values() for account in ACCOUNTS]
        with ThreadPoolExecutor(max_workers=min(len(pairs), 16)) as pool:
            refused = [why for why in pool.map(lambda pair: attempt(*pair), pairs) if why]
        if refused:
            raise PreflightError(
                f"the new key does not log in, and the old one stays in use: {refused[0]}", str(key),
                f"fab secrets.rotate --env {self.env} --only ssh, which goes on from here",
            )  # fmt: skip
        self.say(f"every host lets {' and '.join(ACCOUNTS)} in by {key.name}")

    def say(self, line: str) -> None:
        """Print a line, at once."""
        print(line, flush=True)

    def password(self) -> Password:
        """How another program gets the vault's password."""
        return Password(self)


class Password:
    """How ansible-playbook gets the vault's password: from its file, or from memory through an open file.

    The context's value is that file's name, "" where none is needed, and the handles that the program inherits.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._handle = -1

    def __enter__(self) -> tuple[str, tuple[int, ...]]:
        if not self._fleet.encrypted:
            return "", ()
        if self._fleet.password_file:
            return self._fleet.password_file, ()
        self._handle = os.memfd_create("vault")
        os.fchmod(self._handle, 0o600)  # Ansible would run an executable one
        os.write(self._handle, self._fleet.open_vault().secrets[0][1].bytes)
        return f"/proc/self/fd/{self._handle}", (self._handle,)

    def __exit__(self, *_: object) -> None:
        if self._handle >= 0:
            os.close(self._handle)
