"""Role firewall: ufw with exactly the rules that the roles of a host declare, loaded under guard."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.provision import operations
from deploy.provision.here import here

STATUS = "firewall-guard status"
QUESTIONS = {STATUS: ["firewall-guard", "status"]}


@deploy("firewall")
def firewall() -> None:
    """As roles/firewall has it."""
    operations.packages(name="Packages are installed", role="firewall")
    operations.files(name="The wanted rules are those that the roles declare", role="firewall")
    operations.units(name="The firewall comes up at boot", role="firewall")
    operations.guarded_load(
        name="The rules are loaded under guard, and confirmed over a fresh connection",
        seconds=here().value("firewall_revert_seconds"), question=STATUS,
    )
