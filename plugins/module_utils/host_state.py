"""What a host is like, and how it is made as it should be: files, accounts and units of systemd.

The standard library alone, and nothing of Ansible: its module imports this, pyinfra's operations send it along. What is
wanted are plain dicts, as deploy/host_declarations.py makes them. A file's wanted content may stand as "content" or,
to compare alone, as "sha256".
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

# What was changed and has not been taken in yet, by name: a run that is killed in between leaves it for the next.
PENDING = Path("/var/lib/nexus/pending")
SYSTEMD = "systemd"  # units that systemd has to read again

Wanted = dict[str, Any]


class RefusedError(Exception):
    """The host cannot be made so; says why. A file that is refused leaves every file as it was."""


# --- files ------------------------------------------------------------------------------------------------------------


def file_state(path: str) -> dict[str, Any]:
    """What is at a path. kind: file, directory, other (a link to whatever it is, a device) or absent; of the first two
    mode, owner and group; of a file sha256."""
    place = Path(path)
    if place.is_symlink() and not place.is_dir():
        return {"kind": "other"}
    kind = "file" if place.is_file() else "directory" if place.is_dir() else "other" if place.exists() else "absent"
    if kind not in ("file", "directory"):
        return {"kind": kind}
    status = place.stat()
    found = {
        "kind": kind, "mode": f"{status.st_mode & 0o7777:04o}", "owner": _user(status.st_uid),
        "group": _group(status.st_gid),
    }  # fmt: skip
    if kind == "file":
        found["sha256"] = hashlib.sha256(place.read_bytes()).hexdigest()
    return found


def file_differs(entry: Wanted, found: dict[str, Any]) -> bool:
    """Whether what was found at a path differs from what *entry* asks for."""
    if entry["state"] == "absent":
        return bool(found["kind"] != "absent")
    if found["kind"] != entry["state"]:
        return True
    if any(found[key] != entry[key] for key in ("owner", "group")) or int(found["mode"], 8) != int(entry["mode"], 8):
        return True
    return bool(entry["state"] == "file" and not entry.get("create_only") and found["sha256"] != digest(entry))


def digest(entry: Wanted) -> str:
    """The SHA-256 of the content that *entry* asks for."""
    return str(entry.get("sha256") or hashlib.sha256(str(entry["content"] or "").encode()).hexdigest())


def changes_content(entry: Wanted) -> bool:
    """Whether the file at the path would have another content afterwards."""
    if entry["state"] != "file":
        return False
    found = file_state(entry["path"])
    return found["kind"] != "file" or (not entry.get("create_only") and found["sha256"] != digest(entry))


def place_files(entries: list[Wanted], folder: str | None = None) -> None:
    """Put files and folders in place, in order: all are checked before the first is replaced, each in one step.

    What has to take a file in ("pending") is noted on disk before anything is touched. folder: where candidates lie
    while they are checked. RefusedError: a check refused a content.
    """
    for entry in entries:
        if entry["state"] != "absent":
            _ids(entry)  # an owner that does not exist fails here, before anything is touched
        if entry.get("validate") and changes_content(entry):
            _validate(entry, folder)
    for entry in entries:
        if entry.get("pending"):
            note(entry["pending"])
    for entry in entries:
        _apply(entry)


def _validate(entry: Wanted, folder: str | None) -> None:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder) as candidate:
        candidate.write(entry["content"] or "")
        candidate.flush()
        command = entry["validate"] % candidate.name
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise RefusedError(
            f"{entry['path']} was left as it is: `{entry['validate']}` refused the new content: {said}"
        )


def _apply(entry: Wanted) -> None:
    path = Path(entry["path"])
    if entry["state"] == "absent":
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    elif entry["state"] == "directory":
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            path.unlink()
        path.mkdir(parents=True, exist_ok=True)
        _own(path, entry)
    elif changes_content(entry):
        _replace(path, entry)
    else:
        _own(path, entry)


def _replace(path: Path, entry: Wanted) -> None:
    """One step. What is being written is readable by root alone until it is owned."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}.????????"):
        left.unlink()  # of a run that was killed just here
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as candidate:
            candidate.write(entry["content"] or "")
        _own(Path(name), entry)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _own(path: Path, entry: Wanted) -> None:
    user, group = _ids(entry)
    os.chown(path, user, group)
    path.chmod(int(entry["mode"], 8))


def _ids(entry: Wanted) -> tuple[int, int]:
    try:
        return pwd.getpwnam(entry["owner"]).pw_uid, grp.getgrnam(entry["group"]).gr_gid
    except KeyError as error:
        raise RefusedError(f"{entry['path']}: {error.args[0]}") from None


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


# --- what is pending --------------------------------------------------------------------------------------------------


def note(name: str) -> None:
    """Note on disk that something has still to take in what is about to change."""
    PENDING.mkdir(mode=0o755, parents=True, exist_ok=True)
    (PENDING / name).touch()


def is_pending(name: str) -> bool:
    """Whether a run noted it, and none has settled it since."""
    return bool(name) and (PENDING / name).exists()


def settling(name: str) -> list[str]:
    """The command by which it has been taken in."""
    return ["rm", "-f", str(PENDING / name)]


# --- accounts ---------------------------------------------------------------------------------------------------------


def account_state(name: str) -> dict[str, Any] | None:
    """An account's shell and home; None where there is none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return {"shell": found.pw_shell, "home": found.pw_dir, "home_there": Path(found.pw_dir).is_dir()}


def account_differs(entry: Wanted, found: dict[str, Any] | None) -> bool:
    """Whether an account differs from what *entry* asks for."""
    if found is None or found["shell"] != entry["shell"] or found["home"] != entry["home"]:
        return True
    return bool(entry["create_home"] and not found["home_there"])


def account_commands(entry: Wanted, found: dict[str, Any] | None) -> list[list[str]]:
    """What makes the account as *entry* asks for.

    No password can log in or unlock sudo; "*" rather than "!", with which sshd refuses keys as well.
    """
    if found is None:
        kind = ["--system"] if entry["system"] else []
        home = ["--create-home"] if entry["create_home"] else ["--no-create-home"]
        return [["useradd", *kind, "--user-group", *home, "--home-dir", entry["home"], "--shell", entry["shell"],
                 "--password", "*", entry["name"]]]
    commands = []
    if found["shell"] != entry["shell"] or found["home"] != entry["home"]:
        commands.append(["usermod", "--shell", entry["shell"], "--home", entry["home"], entry["name"]])
    if entry["create_home"] and not found["home_there"]:
        commands.append(["mkhomedir_helper", entry["name"]])
    return commands


# --- units ------------------------------------------------------------------------------------------------------------

_PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload")


def unit_states(names: list[str]) -> dict[str, dict[str, str]]:
    """What systemd says of units, by the names that they were asked for."""
    if not names:
        return {}
    said = run(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), *names])
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in said.split("\n\n")]
    return dict(zip(names, (block for block in blocks if block), strict=True))


def unit_commands(entry: Wanted, found: dict[str, str]) -> list[list[str]]:
    """What brings a unit to where *entry* wants it; empty where it is there."""
    commands, name = [], entry["name"]
    there = found["LoadState"] not in ("not-found", "masked")
    if found["LoadState"] == "masked" or found["UnitFileState"].startswith("masked"):
        runtime = ["--runtime"] if found["UnitFileState"] == "masked-runtime" else []
        commands.append(["systemctl", "unmask", *runtime, name])
        there = False
    if found["NeedDaemonReload"] == "yes":
        commands.append(["systemctl", "daemon-reload"])
    if entry["enabled"] and (found["UnitFileState"] != "enabled" or not there):
        commands.append(["systemctl", "enable", name])
    if not entry["enabled"] and found["UnitFileState"] == "enabled":
        commands.append(["systemctl", "disable", name])
    active = found["ActiveState"] in ("active", "activating", "reloading", "refreshing")
    if entry["state"] == "started" and not active:
        commands.append(["systemctl", "start", name])
    if entry["state"] == "stopped" and (active or found["ActiveState"] == "deactivating"):
        commands.append(["systemctl", "stop", name])
    return commands


def renewal_commands(entry: Wanted, found: dict[str, dict[str, str]], begun: set[str]) -> list[list[str]]:
    """What takes in what is pending: a reload or a restart of a unit, a start where it does not run, or a command.

    begun: the units that are started anyhow, and so have read everything.
    """
    commands = [shlex.split(entry["check"])] if entry.get("check") else []
    if entry.get("run"):
        commands.append(shlex.split(entry["run"]))
    for act in ("reload", "restart"):
        name = entry.get(act)
        if name and name not in begun:
            runs = found[name]["ActiveState"] in ("active", "reloading", "refreshing")
            commands.append(["systemctl", act if runs or act == "restart" else "start", name])
    return [*commands, *(settling(name) for name in entry["pending"].split())]


def plan_units(
    units: list[Wanted], renewals: list[Wanted], found: dict[str, dict[str, str]], pending: list[str]
) -> list[list[str]]:
    """The commands that bring units to where they are wanted, and have them take in what is pending; in order.

    found: what systemd says of all that are named (`names_of`). pending: of what the renewals name, and of SYSTEMD.
    """
    commands = [["systemctl", "daemon-reload"], settling(SYSTEMD)] if SYSTEMD in pending else []
    steps = [command for unit in units for command in unit_commands(unit, found[unit["name"]])]
    begun = {command[2] for command in steps if command[1] == "start"}
    for entry in renewals:
        if any(name in pending for name in entry["pending"].split()):
            steps += renewal_commands(entry, found, begun)
    return commands + steps


def names_of(units: list[Wanted], renewals: list[Wanted]) -> list[str]:
    """The units that any of these name, each once."""
    named = [unit["name"] for unit in units]
    named += [entry[act] for entry in renewals for act in ("reload", "restart") if entry.get(act)]
    return list(dict.fromkeys(named))


# --- the whole --------------------------------------------------------------------------------------------------------


def look(wanted: Wanted) -> dict[str, Any]:
    """What is there of files (paths), accounts, units (names), pending (names), and, if asked for, packages.

    answers: exit status and output of commands that only ask, by name; 127 where a program cannot be run.
    """
    found: dict[str, Any] = {
        "files": {path: file_state(path) for path in wanted.get("files", ())},
        "accounts": {name: account_state(name) for name in wanted.get("accounts", ())},
        "units": unit_states(list(wanted.get("units", ()))),
        "pending": [name for name in wanted.get("pending", ()) if is_pending(name)],
    }
    found["answers"] = {name: ask(command) for name, command in wanted.get("questions", {}).items()}
    if wanted.get("packages"):
        found["packages"] = packages()
    return found


def ask(command: list[str]) -> tuple[int, str]:
    """Exit status and output of a command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # there is no such program, or it may not be run
        return 127, ""
    return done.returncode, done.stdout.strip()


def packages() -> dict[str, list[str]]:
    """Debian packages: those installed, and those that have at least left their configuration."""
    lines = [line.split() for line in run(["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n"])
             .splitlines()]  # fmt: skip
    return {
        "installed": [name for status, name in lines if status == "installed"],
        "known": [name for status, name in lines if status != "not-installed"],
    }


def run(command: list[str]) -> str:
    """A command's output. RefusedError: it failed, with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"`{shlex.join(command)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
