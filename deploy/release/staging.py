"""Sending a release to a host: what it lacks of it, as one stream."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from deploy.release import commands
from deploy.release.artefact import Artefact
from deploy.release.remote import Remote, file_blocks


def send(remote: Remote, artefact: Artefact, venvs: Collection[str], token: int) -> int:
    """Stage a release on a host; answers the bytes that were sent. venvs: dependencies that the host has. HostError."""
    known = artefact.manifest["venv"] in venvs
    parts = ["code", "static"] if known else ["venv", "code", "static"]

    def stream() -> Iterable[bytes]:
        yield json.dumps(artefact.manifest).encode() + b"\n"
        for part in parts:
            yield from file_blocks(artefact.parts[part].path)

    remote.call(commands.stage(artefact.release, parts, token), stream())
    return sum(artefact.parts[part].size for part in parts)
