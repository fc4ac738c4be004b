"""Convergence: the stateless part by pyinfra, and how far hosts are from what they should be."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from deploy.errors import DriftError
from deploy.release.settings import default_environment
from deploy.tasks.guard import guarded

if TYPE_CHECKING:
    from deploy.convergence import Convergence
    from deploy.provision.differences import Difference

ENV = "environment below inventories/; the default one of ansible.cfg unless given"
LIMIT = "a host or a group; may be given several times; all hosts unless given"
PASSWORD = "file with the vault password, or a script that prints it; else a prompt asks"  # noqa: S105 - a help text
USER = "the account to log in by, for a host that was never converged: the provider's"


@task(
    iterable=["limit"],
    help={
        "env": ENV, "limit": LIMIT, "vault-password-file": PASSWORD, "user": USER,
        "check": "change nothing; tell what differs, and end with 3 if anything does",
    },
)  # fmt: skip
@guarded
def provision(
    _context: Context, env: str = "", limit: Sequence[str] | None = None, check: bool = False,
    vault_password_file: str = "", user: str = "",
) -> None:  # fmt: skip
    """Converge the stateless part of every host by pyinfra: what changes often, several times faster than site.yml."""
    wanted = _convergence(env, limit, vault_password_file, user)
    if not check:
        wanted.provision()
        return
    _tell(wanted.differences(), f"fab provision --env {wanted.hands.env}")


@task(iterable=["limit"], help={"env": ENV, "limit": LIMIT, "vault-password-file": PASSWORD})
@guarded
def drift(_context: Context, env: str = "", limit: Sequence[str] | None = None, vault_password_file: str = "") -> None:
    """Tell how hosts differ from the inventory and the roles; changes nothing, and ends with 3 if any does."""
    wanted = _convergence(env, limit, vault_password_file)
    _tell(
        [*wanted.differences(), *wanted.stateful()], f"ansible-playbook -i inventories/{wanted.hands.env} site.yml"
    )


def _tell(found: Iterable[Difference], mend: str) -> None:
    lines = [f"{each.host}: {each.role}: {each.what}" for each in found]
    for line in lines:
        print(line)
    if lines:
        raise DriftError(f"{len(lines)} differences on {len({line.split(':')[0] for line in lines})} hosts", "", mend)
    print("every host is as it should be")


def _convergence(env: str, limit: Sequence[str] | None, password_file: str, user: str = "") -> Convergence:
    from deploy import hands, secrets
    from deploy.convergence import Convergence

    name = env or default_environment()
    file = password_file or os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE", "")
    vault = functools.cache(lambda: secrets.vault_from(file))
    return Convergence(hands.Fleet(name, file, secrets.encrypted(name), vault), tuple(limit or ()), user)
