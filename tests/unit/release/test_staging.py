"""What is sent to a host: what it lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.release import staging
from deploy.release.artefact import Artefact
from deploy.release.state import HostState

from .machine import NEW, OLD, VENV, Release


class Listener:
    """Takes the place of Remote: keeps the words and the bytes of the one call."""

    def call(self, command: tuple[str, ...], stream: Any) -> dict[str, Any]:
        """Keep them."""
        self.command, self.sent = command, b"".join(stream)
        return {"staged": True}


@pytest.mark.parametrize(
    ("venv", "static", "parts"),
    [
        (False, False, ("venv", "code", "static")),
        (True, False, ("code", "static")),
        (False, True, ("venv", "code")),
        (True, True, ("code",)),
    ],
)
def test_a_host_is_sent_what_it_lacks(tmp_path: Path, venv: bool, static: bool, parts: tuple[str, ...]) -> None:
    release, listener = Release(tmp_path, NEW), Listener()
    built = Artefact(NEW, release.manifest, release.parts)
    venvs = (VENV,) if venv else ("another",)
    statics = (built.parts["static"].sha256,) if static else ("another",)
    state = HostState("web1", OLD, f"{OLD}.1", (f"{OLD}.1",), (OLD,), venvs, statics=statics)
    size = staging.send(listener, built, state, 4)  # type: ignore[arg-type] # a stand-in
    assert [listener.command[at + 1] for at, word in enumerate(listener.command) if word == "--part"] == list(parts)
    line, _, rest = listener.sent.partition(b"\n")
    assert json.loads(line)["id"] == NEW
    assert rest == b"".join(built.parts[part].path.read_bytes() for part in parts)
    assert size == len(rest)
