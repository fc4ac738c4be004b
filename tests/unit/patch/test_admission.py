"""What is asked for, or refused, before a roll touches any host."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.errors import PreflightError
from deploy.patch import engine
from deploy.patch.facts import Survey, Upgrade
from deploy.patch.plan import Turn

WEB1 = Turn("web1", web=True, worker=True)
DATABASE = Turn("db1", away=("the database, a single one",))


def due(host: str, *packages: str) -> Survey:
    return Survey(host, "b0", tuple(Upgrade(name, "1", "2") for name in packages))


class Front:
    """Stands for what clients get before the roll."""

    def __init__(self, ready: bool = True) -> None:
        self.ready = lambda: ready


def admit(turns: Sequence[Turn], *, ready: bool = True, allowed: bool = False, **said: Survey) -> None:
    surveys = {turn.host: due(turn.host, "nginx") for turn in turns} | said
    front: Any = Front(ready)
    fleet: Any = SimpleNamespace(env="live")
    engine._admit(fleet, front, turns, surveys, allowed)


def test_an_outage_is_asked_for_first_and_the_others_are_offered_alone() -> None:
    with pytest.raises(PreflightError) as caught:
        admit([WEB1, DATABASE])
    assert "db1: the database, a single one" in str(caught.value)
    assert "fab patch --env live --allow-outage" in caught.value.mend
    assert "fab patch --env live --host web1" in caught.value.mend
    admit([WEB1, DATABASE], allowed=True)


def test_service_that_is_not_ready_is_not_patched_unless_an_outage_is_allowed() -> None:
    with pytest.raises(PreflightError, match="not ready"):
        admit([WEB1], ready=False)
    admit([WEB1], ready=False, allowed=True)
    admit([WEB1])


def test_no_permission_overrules_an_obstacle() -> None:
    with pytest.raises(PreflightError, match="would remove nginx"):
        admit([WEB1], allowed=True, web1=Survey("web1", "b0", removed=("nginx",)))
