"""The commit that a release is made of: a git ref, resolved; the release's id; its files."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.errors import UnchangedError, UsageError

APP = "app"
SHOWN_FILES = 5


@dataclass(frozen=True)
class Commit:
    """A commit and the id of the release made of it; its author's name and its message's first line, printable."""

    sha: str
    release: str
    author: str = ""
    subject: str = ""


def resolve(repository: Path, ref: str) -> Commit:
    """The commit that a ref names. UsageError: there is none, or this is not a git repository."""
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
    if found.returncode:
        if _git(repository, "rev-parse", "--git-dir").returncode:
            raise UsageError(
                "not a git repository, and a release is made of a commit",
                str(repository),
                "git clone the project",
            )
        raise UsageError(
            f"no commit is named {ref!r}",
            str(repository),
            "git fetch, or name one of `git log --oneline`: --ref REF",
        )
    sha = found.stdout.decode().strip()
    said = _checked(
        repository, "show", "-s", "--no-show-signature", "--encoding=UTF-8", "--format=%ct%x00%an%x00%s", sha
    )
    stamp, author, subject = said.decode(errors="replace").strip("\n").split("\0")
    return Commit(sha, release_id(sha, int(stamp)), _printable(author), _printable(subject))


def release_id(sha: str, committed: int) -> str:
    """The release id of a commit: its UTC time (seconds since the epoch) and its first seven digits."""
    return f"{datetime.fromtimestamp(committed, UTC):%Y%m%dT%H%M%SZ}-{sha[:7]}"


def _printable(text: str) -> str:
    """Text that a terminal can be given: anybody may have written it."""
    return "".join(letter for letter in text if letter.isprintable())


def changed_files(repository: Path) -> list[str]:
    """Files of the application that differ from the last commit, or that git does not know."""
    lines = _checked(repository, "status", "--porcelain", "--untracked-files=normal", "--", APP).decode().splitlines()
    return [line[3:] for line in lines]


def refuse_changes(repository: Path, ref: str) -> None:
    """UsageError if the application has changes that a release of `ref` would not hold."""
    if changed := changed_files(repository):
        more = f" and {len(changed) - SHOWN_FILES} more" if len(changed) > SHOWN_FILES else ""
        raise UsageError(
            f"uncommitted changes would not be in the release: {', '.join(changed[:SHOWN_FILES])}{more}",
            str(repository / APP),
            f"git commit, or git stash, or leave them out knowingly: --ref {ref}",
        )


def extract(repository: Path, commit: Commit, target: Path) -> None:
    """The application's files as the commit has them, into a new folder."""
    archive = _git(repository, "archive", "--format=tar", f"{commit.sha}:{APP}")
    if archive.returncode:
        raise UsageError(
            f"the commit {commit.sha[:7]} has no folder {APP}/", str(repository), "name another: --ref REF"
        )
    target.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(target, filter="data")


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise UnchangedError("git is missing on this machine", mend="apt-get install git") from None


def _checked(repository: Path, *arguments: str) -> bytes:
    done = _git(repository, *arguments)
    if done.returncode:
        raise UnchangedError(f"git {arguments[0]} failed: {done.stderr.decode().strip()}", str(repository))
    return done.stdout
