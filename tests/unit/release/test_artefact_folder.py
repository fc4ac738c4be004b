"""Artefacts as folders: damaged ones are built again, carried ones are taken only as they were built."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from deploy.errors import Exit, NexusError
from deploy.release import artefact

from . import application
from .application import build, sums


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    return application.repository(tmp_path)


@pytest.mark.parametrize("part", artefact.PARTS)
@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: data[:-1] + bytes([data[-1] ^ 1]), None])
def test_a_part_that_is_truncated_tampered_with_or_gone_is_built_again(
    part: str, damage: Callable[[bytes], bytes] | None, repository: Path, tmp_path: Path
) -> None:
    first = build(repository, tmp_path / "out")
    path = first.parts[part].path
    if damage:
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    assert sums(build(repository, tmp_path / "out")) == sums(first)


def test_who_built_it_and_when_lies_beside_the_bytes(repository: Path, tmp_path: Path) -> None:
    built = build(repository, tmp_path / "out")
    folder = tmp_path / "out/artefacts" / built.release
    assert built.built_by.endswith(f"@{socket.gethostname()}")
    assert datetime.fromisoformat(built.built_at).tzinfo is not None
    (folder / "built.json").write_text('{"by": "pipeline@elsewhere", "at": "2026-01-01T00:00:00Z"}')
    again = build(repository, tmp_path / "out")
    assert (again.built_by, again.built_at) == ("pipeline@elsewhere", "2026-01-01T00:00:00Z")
    assert (again.sha256, sums(again)) == (built.sha256, sums(built))
    manifest = (folder / "manifest.json").read_text()
    assert again.sha256 == hashlib.sha256(manifest.encode()).hexdigest()
    assert socket.gethostname() not in manifest
    assert "built" not in manifest


def test_an_artefacts_folder_can_be_carried_elsewhere(repository: Path, tmp_path: Path) -> None:
    built = build(repository, tmp_path / "out")
    shutil.copytree(tmp_path / "out/artefacts" / built.release, tmp_path / "carried")
    shutil.rmtree(tmp_path / "out")
    there = artefact.load(tmp_path / "carried")
    assert (there.release, there.sha256, sums(there)) == (built.release, built.sha256, sums(built))
    assert (there.built_by, there.built_at) == (built.built_by, built.built_at)


@pytest.mark.parametrize("part", artefact.PARTS)
def test_a_carried_artefact_with_another_byte_is_refused(part: str, repository: Path, tmp_path: Path) -> None:
    built = build(repository, tmp_path / "out")
    folder = tmp_path / "out/artefacts" / built.release
    artefact.load(folder)  # the control: as it is, it is taken
    path = folder / f"{part}.tar.zst"
    whole = path.read_bytes()
    for data in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"", None):
        path.unlink()
        if data is not None:
            path.write_bytes(data)
        error = refused(folder)
        assert error.where == str(path)
        assert error.code == Exit.UNCHANGED
        path.write_bytes(whole)


def test_a_manifest_that_contradicts_itself_is_refused(repository: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out/artefacts" / build(repository, tmp_path / "out").release
    whole = json.loads((folder / "manifest.json").read_text())
    without_venv = {name: told for name, told in whole["parts"].items() if name != "venv"}
    for change, why in (
        ({"commit": "f" * 40}, "is not of commit"),
        ({"id": "../../etc"}, "is not of commit"),
        ({"recipe": artefact.RECIPE - 1}, "built by recipe"),
        ({"parts": without_venv}, "no artefact's manifest"),
        ({"parts": []}, "no artefact's manifest"),
    ):
        (folder / "manifest.json").write_text(json.dumps(whole | change))
        assert why in refused(folder).what, change
    for text in ("", "[]", "null", "{"):
        (folder / "manifest.json").write_text(text)
        assert "no artefact's manifest" in refused(folder).what
    (folder / "manifest.json").unlink()
    assert "not whole" in refused(folder).what


def refused(folder: Path) -> NexusError:
    """The error that loading a folder ends with."""
    with pytest.raises(NexusError) as caught:
        artefact.load(folder)
    return caught.value
