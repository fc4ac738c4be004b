"""Sending a release to a host: what it lacks of it, as one stream."""

from __future__ import annotations

import json
from collections.abc import Iterable

from deploy.release import commands
from deploy.release.artefact import Artefact
from deploy.release.remote import Remote, file_blocks
from deploy.release.state import HostState


def send(remote: Remote, artefact: Artefact, state: HostState, token: int) -> int:
    """Stage a release on a host, which has what its state says; answers the bytes that were sent. HostError."""
    lacks = {
        "venv": artefact.manifest["venv"] not in state.venvs,
        "code": True,
        "static": artefact.parts["static"].sha256 not in state.statics,
    }
    parts = [part for part, lacking in lacks.items() if lacking]

    def stream() -> Iterable[bytes]:
        yield json.dumps(artefact.manifest).encode() + b"\n"
        for part in parts:
            yield from file_blocks(artefact.parts[part].path)

    remote.call(commands.stage(artefact.release, parts, token), stream())
    return sum(artefact.parts[part].size for part in parts)
