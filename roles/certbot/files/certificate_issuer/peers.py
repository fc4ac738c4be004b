"""The balancers: what each serves, and the bundle handed on to those that serve something else."""

import fcntl
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from . import acme
from .config import Config, IssuerError, Layout, Peer

SECONDS = 30
CONNECT_SECONDS = 5
# A reload hands listening sockets from one process to the next; the old one may answer for a moment yet.
SETTLE_SECONDS = 5.0
POLL_SECONDS = 0.2
TAKE = ["booking-edge", "take-certificate"]


def served(config: Config, peer: Peer) -> bytes:
    """The certificate that a balancer serves to who asks for the service (DER); b"" where none answers."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((peer.address, config.https_port), timeout=CONNECT_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=config.names[0]) as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""
    except OSError:
        return b""


def ssh(layout: Layout, peer: Peer) -> list[str]:
    """The command that hands the bundle on standard input to a balancer: what it does there, that host decides."""
    options = {
        "BatchMode": "yes", "IdentitiesOnly": "yes", "StrictHostKeyChecking": "yes", "HostKeyAlgorithms": "ssh-ed25519",
        "UserKnownHostsFile": str(layout.known_hosts), "GlobalKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
        "ConnectTimeout": str(CONNECT_SECONDS), "ServerAliveInterval": "5",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["ssh", "-F", "none", "-T", "-i", str(layout.key), *words, "-p", str(peer.ssh_port),
            f"certificate@{peer.address}"]  # fmt: skip


def hand(layout: Layout, peer: Peer) -> str:
    """Have a balancer serve the certificate that was issued; "" or what went wrong."""
    bundle = (layout.live / "fullchain.pem").read_bytes() + (layout.live / "privkey.pem").read_bytes()
    try:
        done = subprocess.run(
            TAKE if peer.is_here else ssh(layout, peer), input=bundle, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no end within {SECONDS} s"
    said = (done.stderr or done.stdout).decode(errors="replace").strip()
    return (said or f"ended with {done.returncode}") if done.returncode else ""


def reconcile(layout: Layout, config: Config) -> tuple[list[str], dict[str, str]]:
    """Bring every balancer to the certificate that was issued.

    Answers with the names of those that it was handed to, and what is wrong with those that still serve another.
    """
    with alone(layout):
        wanted = acme.leaf(layout)
        late = behind(config, wanted)
        with ThreadPoolExecutor(max_workers=max(len(late), 1)) as pool:
            said = pool.map(lambda peer: hand(layout, peer), late)
            faults = {peer.name: fault for peer, fault in zip(late, said, strict=True) if fault}
        for peer in config.balancers:
            if peer.name not in faults and not follows(config, peer, wanted):
                faults[peer.name] = f"port {config.https_port} serves another certificate, or none"
    return [peer.name for peer in late if peer.name not in faults], faults


def behind(config: Config, wanted: bytes) -> list[Peer]:
    """The balancers that serve another certificate, or none."""
    return [peer for peer in config.balancers if served(config, peer) != wanted]


def follows(config: Config, peer: Peer, wanted: bytes) -> bool:
    """Whether a balancer serves the certificate, or does within a moment."""
    until = time.monotonic() + SETTLE_SECONDS
    while served(config, peer) != wanted:
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Nobody else hands a certificate on meanwhile. IssuerError: somebody does, and does not end."""
    with layout.lock.open("w") as lock:
        until = time.monotonic() + 2 * SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise IssuerError(f"{layout.lock} is held by another run: fuser {layout.lock}") from None
                time.sleep(POLL_SECONDS)
        yield
