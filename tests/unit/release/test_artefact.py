"""Artefacts: built once, the same commit the same bytes, and whatever stands in the way is told."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from deploy.errors import Exit, NexusError
from deploy.release import artefact, source
from deploy.release.settings import Settings

from .fleet import SETTINGS

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
# a stand-in for Django inside the application: what the build asks of it, and nothing else
APPLICATION = {
    "requirements.txt": "",
    "config/settings.py": "",
    "config/__init__.py": "",
    "tool.sh": "#!/bin/sh\n",
    "django/__init__.py": "def setup(): pass\n",
    "django/core/__init__.py": "",
    "django/core/management.py": (
        "import os, pathlib\n"
        "def call_command(name, **options):\n"
        "    assert os.environ['BOOKING_BUILD'] == '1'\n"
        "    assert os.environ['DJANGO_SETTINGS_MODULE'] == 'config.settings'\n"
        "    root = pathlib.Path(os.environ['BOOKING_STATIC_ROOT']); root.mkdir()\n"
        "    (root / 'staticfiles.json').write_text('{\"paths\": {}}')\n"
    ),
    "django/db/__init__.py": "",
    "django/db/migrations/__init__.py": "",
    "django/db/migrations/loader.py": (
        "class MigrationLoader:\n"
        "    def __init__(self, connection):\n"
        "        self.disk_migrations = {('shop', '0002_more'): 0, ('shop', '0001_initial'): 0}\n"
    ),
}


def git(repository: Path, *words: str, date: str = "2026-11-20T10:15:00Z") -> str:
    """Run git as somebody, at a fixed time."""
    identity = {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    done = subprocess.run(
        ["git", "-C", str(repository), *words],
        env=identity | {"GIT_COMMITTER_DATE": date, "GIT_AUTHOR_DATE": date, "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    root = tmp_path / "repository"
    for name, text in APPLICATION.items():
        (root / "app" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "app" / name).write_text(text)
    (root / "app/tool.sh").chmod(0o755)
    git(tmp_path, "init", "-q", "-b", "main", str(root))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "one")
    return root


def settings(python: str = sys.executable, version: str = VERSION) -> Settings:
    """Settings whose hosts have this very Python, so that the test needs no other."""
    return dataclasses.replace(SETTINGS, python=python, python_version=version)


def build(repository: Path, out: Path, python: str = sys.executable, version: str = VERSION) -> artefact.Artefact:
    """Build HEAD."""
    out.mkdir(exist_ok=True)
    return artefact.build(repository, source.resolve(repository, "HEAD"), settings(python, version), out)


def sums(built: artefact.Artefact) -> dict[str, str]:
    """sha256 of each part."""
    return {name: part.sha256 for name, part in built.parts.items()}


def fails(repository: Path, out: Path, **options: str) -> NexusError:
    """The error that a build ends with."""
    with pytest.raises(NexusError) as caught:
        build(repository, out, **options)
    return caught.value


def test_two_builds_of_a_commit_in_two_folders_are_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    one = build(repository, tmp_path / "one")
    other = tmp_path / "elsewhere/clone"
    subprocess.run(["git", "clone", "-q", str(repository), str(other)], check=True)
    two = build(other, tmp_path / "elsewhere/out")
    assert sums(one) == sums(two)
    assert dict(one.manifest) == dict(two.manifest)
    assert (tmp_path / "one/artefacts" / one.release / "manifest.json").read_bytes() == (
        tmp_path / "elsewhere/out/artefacts" / one.release / "manifest.json"
    ).read_bytes()


def test_the_manifest_tells_commit_parts_and_migrations(repository: Path, tmp_path: Path) -> None:
    built = build(repository, tmp_path / "out")
    sha = git(repository, "rev-parse", "HEAD")
    assert built.release == built.manifest["id"] == f"20261120T101500Z-{sha[:7]}"
    assert built.manifest["commit"] == sha
    assert built.manifest["migrations"] == ["shop.0001_initial", "shop.0002_more"]
    assert set(built.manifest["parts"]) == {"code", "static", "venv"}


def test_code_is_compiled_for_the_place_where_it_will_lie(repository: Path, tmp_path: Path) -> None:
    built = build(repository, tmp_path / "out")
    raw = zstandard.ZstdDecompressor().stream_reader(built.parts["code"].path.open("rb")).read()
    (tmp_path / "code.tar").write_bytes(raw)
    with tarfile.open(tmp_path / "code.tar") as tar:
        members = {member.name: member for member in tar}
        compiled = next(name for name in members if name.startswith("config/__pycache__/settings"))
        extracted = tar.extractfile(compiled)
        assert extracted is not None
        assert f"/srv/booking/releases/{built.release}/config/settings.py".encode() in extracted.read()
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}
    assert members["tool.sh"].mode == 0o755
    assert members["requirements.txt"].mode == 0o644
    assert list(members) == sorted(members)


def test_a_second_build_takes_what_the_first_left(repository: Path, tmp_path: Path) -> None:
    first = build(repository, tmp_path / "out")
    before = first.parts["code"].path.stat().st_mtime_ns
    assert build(repository, tmp_path / "out").parts["code"].path.stat().st_mtime_ns == before
    assert not list((tmp_path / "out/work").iterdir())


def test_a_damaged_part_is_built_again(repository: Path, tmp_path: Path) -> None:
    first = build(repository, tmp_path / "out")
    for part in ("code", "venv"):
        path = first.parts[part].path
        path.write_bytes(path.read_bytes()[:-3])
        assert sums(build(repository, tmp_path / "out")) == sums(first), part


def test_changes_that_are_not_committed_are_not_in_the_release(repository: Path, tmp_path: Path) -> None:
    clean = sums(build(repository, tmp_path / "one"))
    (repository / "app/extra.py").write_text("x = 1\n")
    assert sums(build(repository, tmp_path / "two")) == clean


def test_uncommitted_changes_of_the_application_are_refused_and_named(repository: Path) -> None:
    (repository / "README").write_text("of no concern\n")
    source.refuse_changes(repository, "HEAD")
    (repository / "app/extra.py").write_text("x = 1\n")
    with pytest.raises(NexusError) as caught:
        source.refuse_changes(repository, "HEAD")
    assert "app/extra.py" in caught.value.what
    assert "git commit" in caught.value.mend


def test_a_ref_that_names_no_commit_is_refused(repository: Path) -> None:
    for ref in ("nonsense", "--help", "-x", "HEAD~9", "deadbeef", "", "HEAD^{tree}", "a b"):
        with pytest.raises(NexusError) as caught:
            source.resolve(repository, ref)
        assert caught.value.code == Exit.USAGE, ref
        assert "no commit is named" in caught.value.what


def test_a_folder_that_is_no_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(NexusError) as caught:
        source.resolve(tmp_path, "HEAD")
    assert "not a git repository" in caught.value.what


def test_a_python_that_is_not_the_hosts_is_told_with_what_mends_it(repository: Path, tmp_path: Path) -> None:
    cases = {"no-such-python-anywhere": "does not run", "false": "does not run", sys.executable: "is Python"}
    for python, why in cases.items():
        error = fails(repository, tmp_path / "out", python=python, version="3.2")
        assert why in error.what
        assert "uv python install 3.2" in error.mend
        assert error.code == Exit.UNCHANGED


def test_release_python_may_be_a_command_with_arguments(repository: Path, tmp_path: Path) -> None:
    assert build(repository, tmp_path / "out", python=f"env LANG=C {sys.executable}").release


def test_an_application_without_a_lock_is_refused(repository: Path, tmp_path: Path) -> None:
    git(repository, "rm", "-q", "app/requirements.txt")
    git(repository, "commit", "-q", "-m", "two")
    assert "no lock" in fails(repository, tmp_path / "out").what


def test_a_commit_without_an_application_is_refused(repository: Path, tmp_path: Path) -> None:
    git(repository, "rm", "-q", "-r", "app")
    (repository / "README").touch()
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "two")
    assert "has no folder app/" in fails(repository, tmp_path / "out").what


def test_code_that_does_not_compile_is_refused_with_its_error(repository: Path, tmp_path: Path) -> None:
    (repository / "app/broken.py").write_text("def (:\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "two")
    error = fails(repository, tmp_path / "out")
    assert "compiling the code failed" in error.what
    assert "broken.py" in error.what
    assert not list((tmp_path / "out/work").iterdir())


def test_new_dependencies_get_a_key_of_their_own() -> None:
    one = settings(version="3.13")
    keys = {
        artefact.venv_key(b"a", one),
        artefact.venv_key(b"b", one),
        artefact.venv_key(b"a", settings(version="3.14")),
        artefact.venv_key(b"a", dataclasses.replace(one, platform="aarch64-manylinux_2_28")),
    }
    assert len(keys) == 4
    assert all(len(key) == 16 for key in keys)
