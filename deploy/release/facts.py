"""What hosts and balancers answer when they are asked before anything is touched."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.release import commands, lock
from deploy.release.remote import HostError, Remote
from deploy.release.settings import Settings

ASK_SECONDS = 10.0
DAY = 86400


@dataclass(frozen=True)
class HostFacts:
    """What one host answered. said: its helper's `preflight`, None where it did not answer and `error` says why.

    ahead: seconds that its clock is before this machine's (negative: behind), as far as the round trip tells.
    held: who holds its lock, and `freed` how to free it. needs_bytes, needs_memory: what a deploy takes (bytes).
    """

    name: str
    said: Mapping[str, Any] | None
    error: str = ""
    mend: str = ""
    ahead: float = 0.0
    held: str = ""
    freed: str = ""
    needs_bytes: int = 0
    needs_memory: int = 0


@dataclass(frozen=True)
class Certificate:
    """What a balancer's handshake told: days until its certificate ends, or why that is not known.

    invalid: it was not accepted. error: there was no handshake at all.
    """

    where: str
    days: float = 0.0
    invalid: str = ""
    error: str = ""


def ask_host(remote: Remote, needs_bytes: int, needs_memory: int, *, locked: bool) -> HostFacts:
    """Ask one host; never raises for what is wrong there. locked: this run holds its lock, so no other does."""
    held = freed = ""
    try:
        before = time.time()
        said = remote.call(commands.preflight(), timeout=ASK_SECONDS)
        after = time.time()
        by = None if locked else remote.call(commands.status(), timeout=ASK_SECONDS)["lock"]
    except HostError as error:
        return HostFacts(remote.name, None, error.what, error.mend)
    if by and not by["expired"] and not lock.is_dead(by["owner"]):  # the next run replaces those two unasked
        held, freed = lock.describe(by), lock.mend(remote.target.address, by)
    clock = float(said["clock"])
    ahead = min(clock - before, 0.0) or max(clock - after, 0.0)
    return HostFacts(remote.name, said, "", "", ahead, held, freed, needs_bytes, needs_memory)


def handshake(address: str, port: int, name: str, settings: Settings) -> Certificate:
    """Open TLS to a balancer under the site's name, its certificate verified; never raises. name: of the balancer."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        with (
            socket.create_connection((address, port), settings.connect_seconds) as plain,
            context.wrap_socket(plain, server_hostname=settings.domain) as secure,
        ):
            ends = str((secure.getpeercert() or {})["notAfter"])
    except ssl.SSLCertVerificationError as error:
        return Certificate(name, invalid=error.verify_message)
    except OSError as error:
        return Certificate(name, error=f"no TLS with {address} port {port}: {error.strerror or error}")
    return Certificate(name, (ssl.cert_time_to_seconds(ends) - time.time()) / DAY)
