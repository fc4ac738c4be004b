"""A sandbox is there wholly or not at all, whatever was killed while it was removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lab import lifecycle, state
from lab.state import Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(state, "LABS", tmp_path / "labs")
    monkeypatch.setattr(state, "LOCKS", tmp_path / "locks")
    for module in (state, lifecycle):
        monkeypatch.setattr(module, "ROOT", tmp_path / "clone")
    monkeypatch.setattr(lifecycle, "inventory_of", lambda name: state.inventory_of(name, tmp_path / "clone"))
    made = Lab("lab-one", str(tmp_path / "clone"), "small", 3, "0123", "abcd", 8443)
    made.save()
    (made.directory / "hosts/web1").mkdir(parents=True)
    made.inventory.mkdir(parents=True)
    return made


def test_what_was_saved_is_found_again(lab: Lab) -> None:
    assert state.load("lab-one") == lab
    assert state.every() == [lab]


def test_what_was_forgotten_leaves_nothing(lab: Lab) -> None:
    lab.forget()
    assert state.load("lab-one") is None
    assert list(state.LABS.iterdir()) == []
    assert not lab.inventory.exists()


def test_half_removed_sandbox_is_none_any_more(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            lab.forget()
    assert state.load("lab-one") is None
    assert state.every() == []
    assert list(state.LABS.iterdir()), "the control: its files are there still"
    lifecycle.down("lab-one")
    assert list(state.LABS.iterdir()) == []
    assert not lab.inventory.exists()


def test_the_files_of_a_killed_removal_are_in_nobodys_way(lab: Lab) -> None:
    left = state.LABS / f"{state.GOING}{lab.id}-{os.getpid()}" / "hosts"
    left.mkdir(parents=True)
    lab.forget()
    assert list(state.LABS.iterdir()) == []
