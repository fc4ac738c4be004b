"""pyinfra's operations for what roles declare: they compare with what was found, and yield what is missing."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

from pyinfra import host
from pyinfra.api import FunctionCommand, QuoteString, StringCommand, operation
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.operations import apt

from deploy.provision.connection import OPERATOR
from deploy.provision.differences import tell
from deploy.provision.here import here
from deploy.provision.host_state import SYSTEMD, account_commands, command, file_differs, plan_units

Commands = Generator[StringCommand | FunctionCommand, None, None]
Names = Callable[[], Mapping[str, Any] | None]
A_DAY_SECONDS = 86400
POLICY = "/usr/sbin/policy-rc.d"  # invoke-rc.d(8)


@operation()
def packages(role: str, *, start: bool = True, wanted: Sequence[str] | None = None) -> Commands:
    """The packages of a role are installed. start: whether their services may start by themselves."""
    snapshot = here().snapshot
    missing = snapshot.missing(wanted if wanted is not None else here().value(f"{role}_packages"))
    if not missing:
        host.noop(f"{role}: every package is installed")
        return
    _found(f"package {name}" for name in missing)
    # No service that installs itself starts before it has its configuration: invoke-rc.d asks this program.
    if not start:
        yield StringCommand(f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 0755 {POLICY}")
    yield from apt.packages._inner(missing, no_recommends=True, update=True, cache_time=A_DAY_SECONDS)
    if not start:
        yield StringCommand("rm", "-f", POLICY)
    snapshot.forget()


@operation()
def absent_packages(names: Sequence[str]) -> Commands:
    """Packages are gone, and what they left."""
    known = set(here().snapshot.look()["packages"]["known"])
    there = [name for name in names if name in known]
    if not there:
        host.noop("none of these packages is there")
        return
    _found(f"package {name}" for name in there)
    yield StringCommand("DEBIAN_FRONTEND=noninteractive apt-get purge --yes", *(QuoteString(name) for name in there))
    here().snapshot.forget()


@operation()
def accounts(role: str) -> Commands:
    """The accounts of a role are there."""
    snapshot = here().snapshot
    wanted = [(entry, snapshot.look()["accounts"][entry["name"]]) for entry in here().accounts(role)]
    yield from _run([words for entry, found in wanted for words in account_commands(entry, found)])


@operation()
def files(role: str, set_name: str = "main", *, names: Names | None = None) -> Commands:
    """The files of a role's set are in place: all are checked before the first is replaced.

    names: tells what the templates need of the moment; None for what cannot be told before an operation has run.
    """
    told = names() if names else None
    if names and told is None:
        if host.state.is_executing:
            yield _refusal(f"what the files of {set_name} need is not to be had from the other hosts")
            return
        _found(here().paths(role, set_name))
        yield StringCommand("true")  # nothing is there yet, so that they are certain to be written
        return
    snapshot = here().snapshot
    wanted = here().files(role, set_name, told)
    changed = [entry for entry in wanted if file_differs(entry, snapshot.file(entry["path"]))]
    if not changed:
        host.noop(f"{role}: every file of {set_name} is in place")
        return
    _found(entry["path"] for entry in changed)
    yield command("place_files", changed)
    snapshot.forget()


@operation()
def units(role: str, set_name: str = "main") -> Commands:
    """The units of a role's set are where they belong, and have taken in what was changed."""
    look = here().snapshot.look()
    declared, renewals = here().units(role, set_name)
    pending = [each for each in look["pending"] if each == SYSTEMD or any(
        each in entry["pending"].split() for entry in renewals
    )]
    yield from _run(plan_units(declared, renewals, look["units"], pending))


@operation()
def act(words: Sequence[str], *, question: str) -> Commands:
    """An act of a helper on the host, unless the helper itself said that it would change nothing.

    question: by what name the snapshot has the answer.
    """
    if here().snapshot.answer(question) == (0, "unchanged"):
        host.noop(f"{question}: unchanged")
        return
    yield from _run([words])


@operation()
def registered(*, question: str) -> Commands:
    """The account at the certificate authority is there."""
    status, said = here().snapshot.answer(question)
    if status == 0 and not json.loads(said)["registered"]:
        host.noop("the account is registered")
        return
    yield from _run([["certificate-issuer", "account"]])


@operation()
def answers(thumbprint: Callable[[], str], *, question: str) -> Commands:
    """ACME challenges are answered for an account. thumbprint: tells whose; "" while there is none."""
    wanted = thumbprint()
    if wanted and here().snapshot.answer(question) == (0, wanted):
        host.noop("challenges are answered")
        return
    if not wanted and host.state.is_executing:
        yield _refusal("the issuer has no account: certificate-issuer account there tells why")
        return
    yield from _run([["booking-edge", "account", wanted]])


@operation(is_idempotent=False)
def told(words: Sequence[str]) -> Commands:
    """A command that only tells something; give it an `_if`."""
    if host.state.is_executing:
        yield from _run([words])


@operation()
def made(path: str, words: Sequence[str], *, question: str) -> Commands:
    """A command that makes a file, where there is none."""
    there = here().snapshot.answer(question)[0] == 0
    if there:
        host.noop(f"{path} is there")
    yield from _run([] if there else [words])


@operation()
def guarded_load(seconds: int, *, question: str) -> Commands:
    """The wanted firewall rules are loaded and confirmed. seconds: how long they hold without being confirmed."""
    if here().snapshot.answer(question)[0] == 0:
        host.noop("the wanted rules are in force")
        return
    _found([question])
    yield StringCommand("firewall-guard", "load", str(seconds))
    # A connection that stands already passes whatever the rules say: it proves nothing, and the guard refuses it.
    yield FunctionCommand(renew, (), {})
    yield StringCommand("firewall-guard", "confirm")
    here().snapshot.forget()


@operation()
def reconnect() -> Commands:
    """A fresh connection, as the operator: a rule or an account that locks out shows here, not at the next run."""
    yield FunctionCommand(renew, (), {})


def renew() -> None:
    """Connect anew. ConnectError: the host refuses."""
    assert isinstance(host.connector, SSHConnector)
    host.connector.disconnect()
    if host.connector.client:
        host.connector.client.close()
    host.connector.data["ssh_user"] = OPERATOR
    host.connector.connect()


def _found(what: Iterable[str]) -> None:
    """Tell what differs, while it is looked at."""
    found = list(what)
    if not host.state.is_executing:
        tell(host.name, host.current_deploy_name or "", found)
    for each in found:
        host.log(each)


def _refusal(why: str) -> StringCommand:
    """What fails on the host, and says why."""
    return StringCommand("echo", QuoteString(why), ">&2;", "false")


def _run(commands: Sequence[Sequence[str]]) -> Commands:
    _found(shlex.join(words) for words in commands)
    for words in commands:
        yield StringCommand(*(QuoteString(word) for word in words))
    if commands:
        here().snapshot.forget()
