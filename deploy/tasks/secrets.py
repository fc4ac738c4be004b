"""`fab secrets.…`: the secrets of an environment."""

from __future__ import annotations

import os

from invoke.context import Context
from invoke.tasks import task

from deploy.tasks.guard import guarded


@task(
    help={
        "env": "the environment: a folder under inventories/",
        "vault-password-file": "file with the vault password, or a script that prints it; else a prompt asks",
    }
)
@guarded
def init(_context: Context, env: str, vault_password_file: str = "") -> None:
    """Draw the secrets that are not there yet and encrypt them into the inventory."""
    # Imported here: Ansible's vault takes as long to import as all the rest of a fab command.
    from deploy import secrets

    password_file = vault_password_file or os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE", "")
    drawn = secrets.init(env, lambda: secrets.vault_from(password_file))
    file = f"inventories/{env}/{secrets.FILE}"
    print(f"{file}: drew {', '.join(drawn)}" if drawn else f"{file}: nothing to draw")
