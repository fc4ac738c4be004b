"""Role certbot: one balancer issues the certificate and hands it on, every one serves it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyinfra import host, inventory
from pyinfra.api import deploy

from deploy.provision import operations
from deploy.provision.here import here
from deploy.provision.host_state import HostState, program

KEY = "/etc/certificate-issuer/key"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
REGISTER, ISSUE, ANSWERS, KEY_THERE = "certificate-issuer account", "certificate-issuer issue", "account", "key"
QUESTIONS = {ANSWERS: ["booking-edge", "account"]}
ISSUER_QUESTIONS = {
    REGISTER: ["certificate-issuer", "--check", "account"],
    ISSUE: ["certificate-issuer", "--check", "issue"],
    KEY_THERE: ["test", "-e", KEY],
}
LATER = (("certbot", "way"),)


@deploy("certbot")
def certbot() -> None:
    """As roles/certbot has it."""
    issues, several = here().value("certbot_issues"), here().value("certbot_several")
    operations.packages(name="Packages are installed", role="certbot")
    operations.files(name="The program, its configuration and its units are in place", role="certbot")
    if issues:
        operations.registered(name="The account is registered, on one balancer", question=REGISTER)
    operations.answers(
        name="Every balancer answers challenges for that account", question=ANSWERS, thumbprint=thumbprint
    )
    if issues and several:
        operations.made(
            name="The issuer has a key for handing certificates on, and for nothing else", path=KEY,
            words=["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "certificate", "-f", KEY], question=KEY_THERE,
        )  # fmt: skip
    operations.accounts(name="The account that takes certificates exists", role="certbot")
    operations.files(
        name="It takes them from the issuer, which knows whom it speaks to, and can do nothing else", role="certbot",
        set_name="way", names=keys,
    )  # fmt: skip
    operations.units(name="Sshd knows who hands certificates on", role="certbot", set_name="way")
    issued = []
    if issues:
        issued.append(operations.act(
            name="The certificate is issued, and every balancer serves it",
            words=["certificate-issuer", "issue"], question=ISSUE,
        ))  # fmt: skip
    issued.append(operations.units(
        name="Renewal, comparing and telling run by timers, on the issuer and on all", role="certbot"
    ))
    # From then on the timer does.
    operations.told(
        name="What it serves is told", words=["certificate-issuer", "metric"],
        _if=lambda: any(each.did_change() for each in issued),
    )  # fmt: skip


def thumbprint() -> str:
    """That of the issuer's account; "" while there is none."""
    status, said = _ask(here().value("certbot_chosen"), {REGISTER: ISSUER_QUESTIONS[REGISTER]})[REGISTER]
    return str(json.loads(said)["thumbprint"]) if status == 0 else ""


def keys() -> Mapping[str, Any] | None:
    """The issuer's public key, and on the issuer the other balancers' host keys; None while there are none."""
    if not here().value("certbot_several"):
        return {"certbot_public_key": "", "certbot_host_keys": {}}
    own = _read(here().value("certbot_chosen"), f"{KEY}.pub")
    peers = here().value("certbot_peers") if here().value("certbot_issues") else []
    others = {name: _read(name, HOST_KEY) for name in peers}
    return {"certbot_public_key": own, "certbot_host_keys": others} if own and all(others.values()) else None


def _read(name: str, path: str) -> str:
    return _ask(name, {path: ["cat", path]})[path][1]


def _ask(name: str, questions: Mapping[str, list[str]]) -> dict[str, tuple[int, str]]:
    """What a host of the inventory answers, whether or not this run concerns it."""
    there = host if name == host.name else inventory.get_host(name)
    found: dict[str, tuple[int, str]] = there.get_fact(
        HostState, _sudo=True, _stdin=program("look", {"questions": dict(questions)})
    )["answers"]
    return found
