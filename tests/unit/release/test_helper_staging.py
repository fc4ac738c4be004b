"""What a host accepts as a release, and what it refuses before anything is staged."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from deploy.release.packing import pack

from .machine import NEW, OLD, VENV, Host, Release


def leftovers(host: Host) -> list[Path]:
    """Whatever a refused release left anywhere."""
    srv = host.layout.srv
    return [path for folder in ("releases", "incoming", "static") for path in (srv / folder).rglob("*")]


def forge(release: Release, part: str, *members: tarfile.TarInfo) -> None:
    """Replace a part by a tar of these members, with a manifest that says so."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    path = release.parts[part].path
    path.write_bytes(zstandard.compress(raw.getvalue()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    release.manifest["parts"][part] = {"sha256": digest, "size": path.stat().st_size}


def test_a_staged_release_is_whole_and_changes_nothing_that_serves(host: Host, new: Release) -> None:
    assert new.stage(host) == (0, {"staged": True})
    release = host.layout.releases / NEW
    assert (release / "manage.py").read_text() == f"# {NEW}\n"
    assert (release / "venv/bin/python").readlink() == Path("/usr/bin/python3.13")
    assert (release / "venv").resolve() == host.layout.venvs / VENV
    assert (host.layout.static / "a.0000002.css").exists(), "static files are published while staging"
    assert not host.layout.current.exists()
    assert host.log() == []
    assert not list(host.layout.incoming.iterdir())


def test_staging_again_changes_nothing(host: Host, new: Release) -> None:
    new.stage(host)
    before = (host.layout.releases / NEW).stat()
    assert new.stage(host) == (0, {"staged": False})
    assert (host.layout.releases / NEW).stat() == before


def test_dependencies_that_are_there_need_not_be_sent_again(host: Host, old: Release, new: Release) -> None:
    old.stage(host)
    assert new.stage(host, "code", "static")[0] == 0


def test_dependencies_that_are_neither_there_nor_sent_are_told(host: Host, new: Release) -> None:
    code, answer = new.stage(host, "code", "static")
    assert code == 1
    assert "were not sent" in answer["error"]["what"]
    assert leftovers(host) == []


def test_static_files_that_are_there_need_not_be_sent_again(host: Host, tmp_path: Path) -> None:
    """They are most of a release, and seldom change; a release keeps its own when the other one is removed."""
    first, second = (Release(tmp_path / name, name, static={"a.css": "a.aaa.css"}) for name in (OLD, NEW))
    first.stage(host)
    assert host.call("status")[1]["statics"] == [second.manifest["parts"]["static"]["sha256"]]
    assert second.stage(host, "code")[0] == 0
    css = host.layout.releases / NEW / "static/a.aaa.css"
    assert css.samefile(host.layout.releases / OLD / "static/a.aaa.css"), "a link takes no room"
    host.act("remove", OLD)
    assert css.read_text() == "a.aaa.css"


def test_static_files_that_are_neither_there_nor_sent_are_told(host: Host, old: Release, new: Release) -> None:
    old.stage(host)
    code, answer = new.stage(host, "code")
    assert code == 1
    assert "static was not sent" in answer["error"]["what"]
    assert not (host.layout.releases / NEW).exists()


def test_a_truncated_part_is_refused_and_leaves_nothing(host: Host, new: Release) -> None:
    words = [word for part in ("venv", "code", "static") for word in ("--part", part)]
    stream = new.stream("venv", "code", "static")[:-10]
    code, answer = host.act("stage", *words, NEW, stream=stream)
    assert code == 1
    assert "truncated: 10 of" in answer["error"]["what"]
    assert leftovers(host) == []


def test_an_altered_part_is_refused_and_leaves_nothing(host: Host, new: Release) -> None:
    data = bytearray(new.parts["code"].path.read_bytes())
    data[len(data) // 2] ^= 1
    new.parts["code"].path.write_bytes(data)
    code, answer = new.stage(host)
    assert code == 1
    assert "was altered" in answer["error"]["what"]
    assert leftovers(host) == []


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a/../b"])
def test_a_file_that_leads_out_of_the_release_is_refused(host: Host, new: Release, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = 4
    forge(new, "code", member)
    code, answer = new.stage(host)
    assert code == 1
    assert "not a plain file inside it" in answer["error"]["what"]
    assert leftovers(host) == []
    assert not list(host.root.rglob("evil"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(host: Host, new: Release, kind: bytes) -> None:
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, "/etc/shadow"
    forge(new, "code", member)
    assert new.stage(host)[0] == 1
    assert leftovers(host) == []


def test_no_file_is_ever_setuid_or_writable_by_others(host: Host, new: Release) -> None:
    member = tarfile.TarInfo("tool")
    member.mode = 0o6777
    forge(new, "code", member)
    assert new.stage(host)[0] == 0
    assert (host.layout.releases / NEW / "tool").stat().st_mode & 0o7777 == 0o755


def test_static_files_named_outside_their_folder_are_refused(host: Host, tmp_path: Path) -> None:
    bad = Release(tmp_path / "bad", NEW, static={})
    (tmp_path / "bad/static/staticfiles.json").write_text(json.dumps({"paths": {"a": "../../evil"}}))
    bad.parts["static"] = part = pack(tmp_path / "bad/static", tmp_path / "bad/static.tar.zst")
    bad.manifest["parts"]["static"] = {"sha256": part.sha256, "size": part.size}
    code, answer = bad.stage(host)
    assert code == 1
    assert "leads out" in answer["error"]["what"]
    assert leftovers(host) == []


@pytest.mark.parametrize(
    "change",
    [
        {"id": OLD},
        {"venv": "../../../etc"},
        {"venv": 7},
        {"parts": {}},
        {"parts": {"venv": {}, "code": {}, "static": {}}},
        {"python": None},
        {"migrations": ["shop.0001_initial"]},
        {"migrations": {"shop.0001_initial": "expand"}},
        {"migrations": {"shop.0001_initial": {"class": "other", "since": ""}}},
        {"migrations": {"shop.0001_initial": {"class": "expand", "since": OLD}}},
        {"migrations": {"shop.0001_initial": {"class": "contract", "since": ""}}},
    ],
)
def test_a_malformed_manifest_is_refused(host: Host, new: Release, change: dict[str, Any]) -> None:
    new.manifest |= change
    code, answer = new.stage(host)
    assert code == 1
    assert "manifest" in answer["error"]["what"]
    assert leftovers(host) == []


@pytest.mark.parametrize("stream", [b"", b"{", b"[]\n", b"null\n"])
def test_something_that_is_no_manifest_is_refused(host: Host, stream: bytes) -> None:
    assert host.act("stage", NEW, stream=stream)[0] == 1


def test_a_host_without_the_releases_python_refuses_it(host: Host, new: Release) -> None:
    (host.root / "usr/bin/python3.13").unlink()
    code, answer = new.stage(host)
    assert code == 1
    assert "wants Python 3.13" in answer["error"]["what"]


def test_what_is_removed_takes_along_what_only_it_used(host: Host, old: Release, new: Release) -> None:
    new.manifest["venv"] = "f" * 16
    old.stage(host)
    new.stage(host)
    code, answer = host.act("remove", OLD)
    assert (code, answer) == (0, {"removed": [OLD]})
    assert [path.name for path in host.layout.releases.iterdir()] == [NEW]
    assert [path.name for path in host.layout.venvs.iterdir()] == ["f" * 16]
    assert [path.name for path in host.layout.static.iterdir()] == ["a.0000002.css"]


def test_static_files_that_two_releases_share_outlive_the_first(host: Host, tmp_path: Path) -> None:
    first = Release(tmp_path / "first", OLD, static={"a.css": "a.same.css"})
    second = Release(tmp_path / "second", NEW, static={"a.css": "a.same.css"})
    first.stage(host)
    second.stage(host)
    host.act("remove", OLD)
    assert (host.layout.static / "a.same.css").exists()


def test_the_current_release_is_never_removed(host: Host, old: Release) -> None:
    old.stage(host)
    host.layout.current.symlink_to(f"releases/{OLD}")
    assert host.act("remove", OLD) == (0, {"removed": []})
    assert (host.layout.releases / OLD).is_dir()


def test_the_state_tells_each_releases_migrations_with_their_class(host: Host, old: Release, new: Release) -> None:
    new.manifest["migrations"]["shop.0002_drop"] = {"class": "contract", "since": OLD}
    old.stage(host)
    assert new.stage(host)[0] == 0
    expand = {"class": "expand", "since": ""}
    assert host.status()["migrations"] == {
        OLD: {"shop.0001_initial": expand},
        NEW: {"shop.0001_initial": expand, "shop.0002_drop": {"class": "contract", "since": OLD}},
    }


def test_what_is_staged_gets_its_name_only_while_the_lock_is_held(
    host: Host, new: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = importlib.import_module("booking_release.store")
    unpack = store.unpack

    def taken_in_between(archive: Path, target: Path) -> None:
        unpack(archive, target)
        host.call("lock", "--replace", str(host.token), json.dumps({"user": "later"}))

    monkeypatch.setattr(store, "unpack", taken_in_between)
    code, answer = new.stage(host)
    assert code == 13
    assert "later" in answer["error"]["what"]
    assert host.status()["releases"] == []


def test_what_is_deleted_loses_its_name_first(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a run that was killed in between would leave half of it under the name of the whole."""
    store = importlib.import_module("booking_release.store")
    whole = host.layout.incoming / "x"
    whole.mkdir()
    seen = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: seen.append((path.name, whole.exists())))
    store.sweep(whole)
    assert seen[-1] == (".x.doomed", False)


def test_nothing_is_removed_once_the_lock_is_lost(host: Host, old: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    old.stage(host)
    store = importlib.import_module("booking_release.store")
    sweep = store.sweep

    def taken_in_between(path: Path) -> None:
        sweep(path)
        host.call("lock", "--replace", str(host.token), json.dumps({"user": "later"}))

    monkeypatch.setattr(store, "sweep", taken_in_between)
    assert host.act("remove", OLD)[0] == 13
    assert host.status()["releases"] == [OLD]
