"""Looks for secrets where none may be. Sent to a host as it is, and run there by its Python as root: standard library
alone. The secrets come by standard input, so that the search itself puts them nowhere."""

import base64
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

LEAST = 20  # characters of what is looked for: less would be found by chance
# What is no file of a disk, what only its unit sees, and what Debian's packages brought.
NO_FILES = {Path(each) for each in ("/proc", "/sys", "/dev", "/run/credentials", "/usr/lib", "/usr/share", "/usr/bin",
                                    "/var/lib/apt", "/var/cache/apt")}
LARGEST = 64 * 1024 * 1024
WHOLE = ("/var/log", "/var/lib/booking", "/var/lib/cron-once")  # looked through whoever may read them


def shapes(secret):
    """A secret as it is, URL-encoded, as JSON and in base64, wherever in a longer text it began."""
    found = {secret.encode(), json.dumps(secret)[1:-1].encode()}
    found.add("".join(c if c.isalnum() or c in "-_.~" else f"%{ord(c):02X}" for c in secret).encode())
    for lead in range(3):
        coded = base64.b64encode(b"\0" * lead + secret.encode())
        found.add(coded[(0, 2, 3)[lead]:-4])
    return {each for each in found if len(each) >= LEAST}


def pattern(secrets):
    """What finds any of some secrets {name: value}, of several lines those within it, and who it was."""
    known = {}
    for name, value in secrets.items():
        lines = [line for line in value.splitlines() if len(line) >= LEAST and not line.startswith("-----")]
        for line in lines:
            known.update(dict.fromkeys(shapes(line), name))
    return re.compile(b"|".join(re.escape(each) for each in sorted(known, key=len, reverse=True))), known


def processes():
    """(place, bytes) of the command line and the environment of every process but this one and its kin."""
    own = {os.getpid(), os.getppid()}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) not in own:
            for kind in ("cmdline", "environ"):
                try:
                    content, name = (folder / kind).read_bytes(), (folder / "comm").read_text().strip()
                    yield f"{kind} of process {folder.name} ({name})", content
                except OSError:
                    continue


def told():
    """(place, bytes) of what systemd and the journal say."""
    for place, command in {
        "properties of units": ["systemctl", "show", "--all", "*"],
        "the journal": ["journalctl", "--all", "--output=export", "--no-pager"],
    }.items():
        yield place, subprocess.run(command, capture_output=True, check=False).stdout


def files():
    """(place, bytes) of what everybody may read, and of logs and ledgers."""
    for top, folders, names in os.walk("/"):
        whole = top.startswith(WHOLE)
        folders[:] = [name for name in folders if is_entered(Path(top, name), whole)]
        for path in (Path(top, name) for name in names):
            try:
                known = path.lstat()
                if stat.S_ISREG(known.st_mode) and known.st_size < LARGEST and (whole or known.st_mode & stat.S_IROTH):
                    yield str(path), path.read_bytes()
            except OSError:
                continue


def is_entered(folder, whole):
    """Whether what is in a folder is looked at: everybody may go in, or it is to be looked through as a whole."""
    try:
        return folder not in NO_FILES and (
            whole or str(folder).startswith(WHOLE) or bool(folder.lstat().st_mode & stat.S_IXOTH)
        )
    except OSError:
        return False


def search(secrets, places):
    """The secrets that were found: [[name, place]]."""
    wanted, known = pattern(secrets)
    found = []
    for place, content in places:
        found += [[known[name], place] for name in {hit[0] for hit in wanted.finditer(content)}]
    return found


def main():
    """Look everywhere on this host."""
    secrets = json.load(sys.stdin)
    print(json.dumps([hit for places in (processes(), told(), files()) for hit in search(secrets, places)]))


if __name__ == "__main__":
    main()
