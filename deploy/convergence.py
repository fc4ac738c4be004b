"""Convergence as commands: pyinfra for the stateless part, Ansible's check for the rest; nothing but what a person
would type is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy import inventory
from deploy.errors import UnchangedError
from deploy.hands import Fleet as Hands
from deploy.provision.differences import FILE, Difference, told
from deploy.specs import STATELESS, Tree, tree

SITE = "deploy/provision/site.py"
LOG_LINES = 30


@dataclass(frozen=True)
class Convergence:
    """An environment to be converged, or compared with what it should be. limit: hosts or groups; all unless given."""

    hands: Hands
    limit: Sequence[str] = ()
    user: str = ""
    execute: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run

    def provision(self) -> None:
        """Converge the stateless part, and show what pyinfra says. UnchangedError: it failed."""
        words = self._pyinfra("--yes", "--fail-percent", "0")
        self.hands.say(f"NEXUS_ENV={self.hands.env} {' '.join(words)}")
        if self._run(words, {}).returncode:
            raise UnchangedError(
                "pyinfra failed; what it had done stays done", f"environment {self.hands.env}",
                "mend what it said, then call the same command again: it goes on from here. A host that was never "
                "converged is reached by the provider's account (base_bootstrap_user): --user root --limit HOST",
            )  # fmt: skip

    def differences(self) -> list[Difference]:
        """What is not as it should be in the stateless part, by host. UnchangedError: a host does not tell."""
        with tempfile.NamedTemporaryFile(prefix="nexus-") as file:
            # in JSON it asks nobody whether to go on without a host that is away
            done = self._run(self._pyinfra("--dry", "--json"), {FILE: file.name}, capture=True)
            if done.returncode:
                raise UnchangedError(
                    f"pyinfra could not compare:\n{_end(done.stderr)}", f"environment {self.hands.env}",
                    "mend what it said, then call the same command again",
                )  # fmt: skip
            return sorted(set(told(Path(file.name))))

    def stateful(self) -> list[Difference]:
        """The same of what Ansible alone converges, by its check mode."""
        limit = ["--limit", ",".join(["localhost", *self._hosts()])] if self.limit else []
        with self.hands.password() as (file, handles):
            vault = ["--vault-password-file", file] if file else []
            done = self.execute(
                [str(Path(sys.executable).parent / "ansible-playbook"), "-i", f"inventories/{self.hands.env}",
                 "site.yml", "--check", "--tags", ",".join(stateful_roles(tree(self.hands.root))), *limit, *vault],
                cwd=self.hands.root, check=False, capture_output=True, text=True, pass_fds=handles,
                stdin=subprocess.DEVNULL, env=os.environ | {
                    "ANSIBLE_CONFIG": str(self.hands.root / "ansible.cfg"),
                    "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
                },
            )  # fmt: skip
        if done.returncode:
            raise UnchangedError(
                f"Ansible could not compare:\n{_end(done.stdout + done.stderr)}", f"environment {self.hands.env}",
                f"ansible-playbook -i inventories/{self.hands.env} site.yml --check --diff tells more",
            )  # fmt: skip
        return sorted(changed(json.loads(done.stdout)))

    def _pyinfra(self, *options: str) -> list[str]:
        limits = [word for name in self._hosts() for word in ("--limit", name)]
        user = ["--ssh-user", self.user] if self.user else []
        return ["pyinfra", "deploy.inventory:fleet", SITE, *limits, *user, *options]

    def _hosts(self) -> list[str]:
        """The hosts by name, where it is limited: the engines do not understand the same patterns. UsageError: a limit
        is the name of nothing."""
        return inventory.selected(inventory.load(self.hands.env, self.hands.root), self.limit) if self.limit else []

    def _run(
        self, words: Sequence[str], environment: dict[str, str], *, capture: bool = False
    ) -> subprocess.CompletedProcess[str]:
        with self.hands.password() as (file, handles):
            secret = {"ANSIBLE_VAULT_PASSWORD_FILE": file} if file else {}
            return self.execute(
                [str(Path(sys.executable).parent / words[0]), *words[1:]], cwd=self.hands.root, check=False, text=True,
                capture_output=capture, stdin=subprocess.DEVNULL, pass_fds=handles,
                env=os.environ | {"NEXUS_ENV": self.hands.env} | secret | environment,
            )  # fmt: skip


def stateful_roles(source: Tree) -> list[str]:
    """The roles of site.yml that Ansible alone converges."""
    return [role for role in dict.fromkeys(r for play in source.plays for r in play.roles) if role not in STATELESS]


def changed(said: Mapping[str, object]) -> Iterator[Difference]:
    """What a run of Ansible (its JSON callback) says that it would change."""
    plays: list[dict[str, list[dict[str, dict[str, dict[str, object]]]]]] = said["plays"]  # type: ignore[assignment]
    for play in plays:
        for task in play["tasks"]:
            name = str(task["task"]["name"])
            role, _, what = name.rpartition(" : ")
            for host, result in task["hosts"].items():
                if result.get("changed"):
                    told = [each for key in ("paths", "commands") for each in _list(result.get(key))]
                    yield from (Difference(host, role, str(each)) for each in told or [what])


def _list(found: object) -> list[object]:
    return found if isinstance(found, list) else []


def _end(said: str) -> str:
    return "\n".join(said.strip().splitlines()[-LOG_LINES:])
