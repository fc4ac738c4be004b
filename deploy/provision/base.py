"""Role base: accounts, sshd, bans, upgrades, the journal, limits and the kernel of every host."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import deploy

from deploy.provision import operations
from deploy.provision.connection import OPERATOR
from deploy.provision.here import here


@deploy("base")
def base() -> None:
    """As roles/base has it."""
    wanted = here().value("base_packages")
    operations.packages(name="Packages are installed", role="base")
    operations.absent_packages(
        name="Packages that a server has no use for are gone",
        names=[each for each in here().value("base_absent_packages") if each not in wanted],
    )
    operations.accounts(name="Users exist", role="base")
    operations.files(
        name="Keys are exactly those of the inventory, and the operator may do everything", role="base",
        set_name="accounts",
    )  # fmt: skip
    # If that account did not work, the run would end before root's way in is closed.
    if host.connector.data["ssh_user"] != OPERATOR:
        operations.reconnect(name="This run goes on as the operator")
    operations.files(
        name="Sshd, bans, upgrades, the journal, limits and the kernel are configured", role="base"
    )
    operations.units(name="Services run, by that configuration", role="base")
