"""A sandbox is there wholly or not at all, whatever was killed while it was removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab import state
from lab.state import Lab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(state, "LABS", tmp_path / "labs")
    monkeypatch.setattr(state, "ROOT", tmp_path / "clone")
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
    def killed(folder: Path, **_: object) -> None:
        assert Path(folder).parent == state.LABS
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            lab.forget()
    assert state.load("lab-one") is None
    assert state.every() == []
    assert list(state.LABS.iterdir()), "the control: its files are there still"
    state.clear()
    assert list(state.LABS.iterdir()) == []
