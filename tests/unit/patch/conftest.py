"""What happens in a roll, on stand-ins."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.patch import roll
from deploy.release.state import HostState
from tests.unit.patch.stand import World, measured


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()

    def carry_out(_run: object, action: str, _release: str, steps: Sequence[Any], states: Sequence[HostState]) -> None:
        found.joined.append((steps, states[0]))
        found.note(action)

    def probe(*_: object, patience: float, **__: object) -> SimpleNamespace:
        found.patience = patience
        return SimpleNamespace(
            start=lambda: None, stop=lambda: measured(found.failures), failed=lambda: found.early
        )

    monkeypatch.setattr(roll, "Probe", probe)
    monkeypatch.setattr(roll, "WATCHED_SECONDS", 0)
    monkeypatch.setattr("deploy.patch.roll.conduct.carry_out", carry_out)
    return found
