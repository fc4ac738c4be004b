"""Role keepalived: the floating addresses follow a balancer that answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyinfra.api import deploy

from deploy.provision import operations
from deploy.provision.here import here

LINK = "ip address"
LATER = (("keepalived", "configuration"),)


def questions(own: str) -> dict[str, list[str]]:
    """What is asked of a host that may hold floating addresses. own: its address in their family."""
    return {LINK: ["ip", "-json", "address", "show", "to", own]}


@deploy("keepalived")
def keepalived() -> None:
    """As roles/keepalived has it."""
    if not here().value("keepalived_floats"):
        operations.files(name="Nothing says that an address is to float", role="keepalived", set_name="none")
        operations.units(name="Nothing holds one", role="keepalived", set_name="none")
        return
    operations.packages(name="Packages are installed", role="keepalived")
    operations.accounts(name="The account that checks run as exists", role="keepalived")
    operations.files(name="The check is in place", role="keepalived")
    operations.files(
        name="Configuration is in place", role="keepalived", set_name="configuration", names=link,
    )  # fmt: skip
    operations.units(name="The service runs, by that configuration", role="keepalived")


def link() -> Mapping[str, Any]:
    """The interface: the one that is named, else that of the host's own address."""
    if named := here().value("keepalived_interface"):
        return {"keepalived_link": named}
    _, said = here().snapshot.answer(LINK)
    found = [entry["ifname"] for entry in json.loads(said or "[]") if entry.get("ifname")]
    if not found:
        raise LookupError(f"no interface has {here().value('keepalived_own')}: keepalived_interface names one")
    return {"keepalived_link": found[0]}
