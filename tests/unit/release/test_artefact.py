"""Artefacts: built once, the same commit the same bytes, and whatever stands in the way is told."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import zstandard

from deploy.errors import Exit, NexusError
from deploy.release import source
from deploy.release.dependencies import key

from . import application
from .application import DROP, SINCE, build, commit, fails, git, settings, sums


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    return application.repository(tmp_path)


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
    assert (built.manifest["author"], built.manifest["subject"]) == ("a", "one")
    expand = {"class": "expand", "since": ""}
    assert built.manifest["migrations"] == {"shop.0001_initial": expand, "shop.0002_more": expand}
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
        contents = extracted.read()
    assert f"/srv/booking/releases/{built.release}/config/settings.py".encode() in contents
    assert contents[4:8] == bytes([1, 0, 0, 0]), "it is trusted without a look at the source (PEP 552)"
    modules = {name for name in members if name.endswith(".py")}
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}"
    for module in modules:
        folder, _, name = module.rpartition("/")
        assert f"{folder}/__pycache__/{name.removesuffix('.py')}.{tag}.pyc".lstrip("/") in members, module
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}
    assert members["tool.sh"].mode == 0o755
    assert members["requirements.txt"].mode == 0o644
    assert list(members) == sorted(members)


def test_a_second_build_takes_what_the_first_left(repository: Path, tmp_path: Path) -> None:
    first = build(repository, tmp_path / "out")
    before = first.parts["code"].path.stat().st_mtime_ns
    assert build(repository, tmp_path / "out").parts["code"].path.stat().st_mtime_ns == before
    assert not list((tmp_path / "out/work").iterdir())


def test_code_that_does_not_import_fails_the_build_with_its_last_lines(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"shop/migrations/0003_drop.py": "import no_such_module\n"})
    error = fails(repository, tmp_path / "out")
    assert error.code == Exit.UNCHANGED
    assert "collecting static files failed (exit code 1)" in error.what
    assert error.what.endswith("ModuleNotFoundError: No module named 'no_such_module'")


def test_an_authors_name_and_a_subject_reach_no_terminal_with_control_characters(repository: Path) -> None:
    commit(repository, {"config/__init__.py": "\n"}, message="\x1b[31mred\x1b[0m and ₤\n\nbody")
    assert source.resolve(repository, "HEAD").subject == "[31mred[0m and ₤"


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
        key(b"a", one, 1),
        key(b"b", one, 1),
        key(b"a", one, 2),
        key(b"a", settings(version="3.14"), 1),
        key(b"a", dataclasses.replace(one, platform="aarch64-manylinux_2_28"), 1),
    }
    assert len(keys) == 5
    assert all(len(name) == 16 for name in keys)


def test_a_migration_that_takes_away_and_does_not_say_so_fails_the_build(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"shop/migrations/0003_drop.py": DROP.format(declares="")})
    error = fails(repository, tmp_path / "out")
    assert error.code == Exit.UNCHANGED
    assert "shop.0003_drop: RemoveField (Remove field name from product) drops a column" in error.what
    assert 'write CONTRACT_SINCE = "ID"' in error.what
    assert "shop/migrations/0003_drop.py, beside the imports" in error.what
    assert "docs/runbooks/expand-contract.md" in error.mend
    assert not list((tmp_path / "out").glob("artefacts/*"))


def test_a_migration_that_says_what_it_takes_away_is_in_the_manifest(repository: Path, tmp_path: Path) -> None:
    """The control of the one before: the declaration is all that it lacked."""
    commit(repository, {"shop/migrations/0003_drop.py": DROP.format(declares=f"CONTRACT_SINCE = '{SINCE}'")})
    built = build(repository, tmp_path / "out")
    assert built.manifest["migrations"]["shop.0003_drop"] == {"class": "contract", "since": SINCE}


def test_a_contraction_cannot_name_the_release_that_brings_it(repository: Path, tmp_path: Path) -> None:
    for since in ("20261120T101500Z-0000001", "20270101T000000Z-0000001"):
        commit(repository, {"shop/migrations/0003_drop.py": DROP.format(declares=f"CONTRACT_SINCE = '{since}'")})
        error = fails(repository, tmp_path / "out")
        assert f"shop.0003_drop: CONTRACT_SINCE {since} is not earlier than this release" in error.what
