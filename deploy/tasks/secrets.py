"""`fab secrets.…`: the secrets of an environment."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from invoke.context import Context
from invoke.tasks import task

from deploy.tasks.guard import guarded

if TYPE_CHECKING:
    from deploy.rotate import Job

# Imported in each task: Ansible's vault takes as long to import as all the rest of a fab command.
ENV = "the environment: a folder under inventories/"
PASSWORD = "file with the vault password, or a script that prints it; else a prompt asks"  # noqa: S105 - a help text
ONLY = "one kind: database, broker, cache, django, jwt or ssh; all of them unless given"


@task(help={"env": ENV, "vault-password-file": PASSWORD})
@guarded
def init(_context: Context, env: str, vault_password_file: str = "") -> None:
    """Draw the secrets that are not there yet and encrypt them into the inventory."""
    from deploy import secrets

    drawn = secrets.init(env, lambda: secrets.vault_from(_file(vault_password_file)))
    file = f"inventories/{env}/{secrets.FILE}"
    print(f"{file}: drew {', '.join(drawn)}" if drawn else f"{file}: nothing to draw")


@task(help={"env": ENV, "only": ONLY, "vault-password-file": PASSWORD})
@guarded
def rotate(_context: Context, env: str, only: str = "", vault_password_file: str = "") -> None:
    """Renew secrets under load; goes on where a run was broken off. The old values are accepted until `forget`."""
    _job(env, only, vault_password_file).rotate()


@task(help={"env": ENV, "only": ONLY, "vault-password-file": PASSWORD})
@guarded
def forget(_context: Context, env: str, only: str = "", vault_password_file: str = "") -> None:
    """Withdraw the old values of what was renewed: from here on they are refused."""
    gone = _job(env, only, vault_password_file).forget()
    print(f"the old values are refused: {', '.join(gone)}" if gone else "there are no old values")


@task(help={"env": ENV, "vault-password-file": PASSWORD, "new-vault-password-file": "the same for the new password"})
@guarded
def rekey(_context: Context, env: str, vault_password_file: str = "", new_vault_password_file: str = "") -> None:
    """Encrypt the secrets with a new vault password; the secrets stay what they are."""
    from deploy import rotate as renewals
    from deploy import secrets

    old, new = secrets.vault_from(_file(vault_password_file)), secrets.vault_from(new_vault_password_file)
    print(f"{renewals.rekey(env, old, new)} values are encrypted with the new password")


def _file(given: str) -> str:
    return given or os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE", "")


def _job(env: str, only: str, password_file: str) -> Job:
    from deploy import hands, secrets
    from deploy.rotate import Job

    file = _file(password_file)
    vault = functools.cache(lambda: secrets.vault_from(file))
    fleet = hands.Fleet(env, file, secrets.encrypted(env), vault)
    return Job(env, only, fleet, vault)
