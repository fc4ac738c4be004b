"""The sandbox's ssh keys: one for the operator, one host key a host, all known before first contact."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lab.state import Lab


def ensure(lab: Lab) -> None:
    """Draw the keys that are missing and write known_hosts for every host."""
    folder = lab.key.parent
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _draw(lab.key, f"operator of {lab.name}")
    rows = []
    for host in lab.topology.hosts:
        private = folder / f"{host.name}_ed25519"
        _draw(private, host.name)
        kind, key, *_ = private.with_suffix(".pub").read_text().split()
        rows.append(f"{host.ipv4},{host.ipv6},{host.name} {kind} {key}\n")
    lab.known_hosts.write_text("".join(rows))


def _draw(path: Path, comment: str) -> None:
    if path.exists() and path.with_suffix(".pub").exists():
        return
    path.unlink(missing_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
        check=True, capture_output=True,
    )
