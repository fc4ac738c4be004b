"""Everything that there is on a host, to compare two. Runs on the host: the standard library alone."""

import grp
import hashlib
import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

COMPILED = "__pycache__"  # what Python made of a file: it holds the time at which that was written
# Of larger files (bytes) nothing is replaced before they are compared: none of them is a configuration.
LARGE = 1_000_000


def files(top, left_out, replaced):
    """Every path below *top* and what is there: kind, mode, owner, group, and a file's digest or a link's aim.

    left_out: paths that are not looked at, nor what is below them. replaced: what to put for a text, in contents,
    aims and paths; it hides what may differ. What is compiled is left out everywhere.
    """
    pairs = [(old.encode(), new.encode()) for old, new in replaced]
    found = {}
    for folder, below, names in os.walk(top):
        start = folder.rstrip("/") + "/"
        below[:] = [name for name in below if start + name not in left_out and name != COMPILED]
        for name in [*below, *names]:
            path = start + name
            if path not in left_out:
                found[_shown(os.fsencode(path), pairs).decode(errors="replace")] = _entry(path, pairs)
    return found


def _entry(path, pairs):
    try:
        status = os.lstat(path)
        told = [
            stat.filemode(status.st_mode), _name(pwd.getpwuid, status.st_uid), _name(grp.getgrgid, status.st_gid),
        ]
        if stat.S_ISLNK(status.st_mode):
            return " ".join([*told, _shown(os.fsencode(Path(path).readlink()), pairs).decode(errors="replace")])
        if stat.S_ISREG(status.st_mode):
            return " ".join([*told, _digest(path, status.st_size, pairs)])
        return " ".join(told)
    except FileNotFoundError:  # it came and went meanwhile
        return "gone"


def _digest(path, size, pairs):
    with Path(path).open("rb") as file:
        if size > LARGE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(_shown(file.read(), pairs)).hexdigest()


def _shown(content, pairs):
    for old, new in pairs:
        content = content.replace(old, new)
    return content


def _name(look, number):
    try:
        return look(number)[0]
    except KeyError:
        return str(number)


def said(commands, replaced):
    """What commands say, line by line, by name."""
    found = {}
    for name, command in commands.items():
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{command}: {done.stderr}")
        text = done.stdout
        for old, new in replaced:
            text = text.replace(old, new)
        found[name] = text.splitlines()
    return found
