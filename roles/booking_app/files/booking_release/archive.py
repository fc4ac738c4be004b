"""Unpacks a part: a tar of plain files, packed with zstd.

A reader of its own, for two reasons. It knows plain files and nothing else, so that no link, device or odd
header has to be thought of: whatever is not a plain file inside the folder is refused. And `tarfile` takes
three times as long for some thousand small files.

The format is GNU tar's: blocks of 512 bytes; a header has the name in bytes 0-99, the mode in 100-107, the
size in 124-135 (both octal), a checksum in 148-155 and the type in 156; one of type L before it carries a
longer name.
"""

import os
import subprocess
from pathlib import Path
from typing import IO

from .layout import HelperError

BLOCK = 512
PIECE = 1 << 20
LONGEST_NAME = 4096
PLAIN, LONG_NAME = b"0", b"L"


def unpack(archive: Path, target: Path) -> None:
    """Unpack into a new folder. HelperError: damaged, or it holds more than plain files.

    Files become 0644, or 0755 where their owner may execute them, whatever else their mode says.
    """
    target.mkdir(mode=0o755)
    with subprocess.Popen(["zstd", "-d", "-c", "-q", str(archive)], stdout=subprocess.PIPE) as zstd:
        assert zstd.stdout is not None  # it is a pipe
        try:
            read_members(zstd.stdout, str(target), archive.name)
            while zstd.stdout.read(PIECE):
                pass  # the zeros that fill up the last record
        except BaseException:
            zstd.kill()
            raise
    if zstd.returncode:
        raise HelperError(f"{archive.name} could not be unpacked: zstd ended with {zstd.returncode}")


def read_members(stream: IO[bytes], target: str, archive: str) -> None:
    """Write every file of a tar below the folder `target`."""
    made, name = {target}, b""
    while True:
        header = exactly(stream, BLOCK, archive)
        if not header.strip(b"\0"):
            return
        kind, size = header[156:157], octal(header[124:136], archive)
        if octal(header[148:156], archive) != sum(header[:148]) + sum(header[156:]) + 8 * 32:
            raise HelperError(f"{archive} is damaged: a header's checksum is wrong")
        if kind == LONG_NAME and not name and size <= LONGEST_NAME:
            name = padded(stream, size, archive).rstrip(b"\0")
            continue
        text = os.fsdecode(name or header[:100].rstrip(b"\0"))
        if kind != PLAIN or not inside(text):
            raise HelperError(f"{archive} holds {text!r}, which is not a plain file inside it")
        write(stream, f"{target}/{text}", size, octal(header[100:108], archive) & 0o100, made, archive)
        name = b""


def inside(name: str) -> bool:
    """Whether a name stays in the folder: relative, and without empty or dotted parts."""
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


def write(stream: IO[bytes], path: str, size: int, executable: int, made: set[str], archive: str) -> None:
    """Write one file from the stream; what is there already is not followed and not replaced."""
    make_folder(path.rpartition("/")[0], made)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755 if executable else 0o644)
    try:
        left = size
        while left:
            piece = exactly(stream, min(left, PIECE), archive)
            left -= len(piece)
            while piece:
                piece = piece[os.write(handle, piece) :]
    finally:
        os.close(handle)
    if size % BLOCK:
        exactly(stream, BLOCK - size % BLOCK, archive)


def make_folder(path: str, made: set[str]) -> None:
    """Make a folder, and those above it, unless they were `made` already."""
    if path not in made:
        make_folder(path.rpartition("/")[0], made)
        Path(path).mkdir(mode=0o755)
        made.add(path)


def padded(stream: IO[bytes], size: int, archive: str) -> bytes:
    """The next `size` bytes, and past the zeros that fill up their last block."""
    return exactly(stream, (size + BLOCK - 1) // BLOCK * BLOCK, archive)[:size]


def exactly(stream: IO[bytes], size: int, archive: str) -> bytes:
    """The next `size` bytes; HelperError if there are fewer."""
    piece = stream.read(size)
    if len(piece) != size:
        raise HelperError(f"{archive} is damaged: it ends too early")
    return piece


def octal(text: bytes, archive: str) -> int:
    """A number of a header; HelperError if it is none (tar's base-256 form of huge numbers included)."""
    try:
        return int(text.strip(b"\0 ") or b"0", 8)
    except ValueError:
        raise HelperError(f"{archive} is damaged: {text!r} is not an octal number") from None
