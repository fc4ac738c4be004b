"""What people do on a host by OpenSSH, as the operator: management commands, and the service's journal."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.errors import InterruptedRunError, PreflightError, UsageError
from deploy.inventory import Fleet, Host
from deploy.release import settings
from deploy.specs import ROOT

OPERATOR = "ops"
MANAGE = "/usr/local/bin/booking-manage"
LOST = 255  # ssh's own exit status: there was no connection, or it broke


def hosts(fleet: Fleet, name: str = "") -> list[Host]:
    """The hosts that run the application, web servers first; only the named one. UsageError: it is none of them."""
    found = settings.hosts(fleet)
    if name and name not in (names := [host.name for host in found]):
        raise UsageError(f"no host '{name}' runs the application", "--host", f"name one of: {', '.join(names)}")
    return [host for host in found if name in ("", host.name)]


def ssh(fleet: Fleet, host: Host, command: Iterable[str], *, terminal: bool = False, root: Path = ROOT) -> list[str]:
    """The words of an ssh command that runs `command` there, with the connection variables of the inventory."""

    def variable(name: str) -> str:
        return str(fleet.value(host.name, name)) if host.variables.get(name) else ""

    key, known = variable("ansible_ssh_private_key_file"), variable("release_known_hosts_file")
    patience = fleet.value(host.name, "release_connect_seconds")
    return [
        "ssh", "-o", "StrictHostKeyChecking=yes", "-o", f"ConnectTimeout={patience}",
        *(["-t"] if terminal else []),
        *(["-i", str(root / Path(key).expanduser())] if key else []),
        *shlex.split(f"{variable('ansible_ssh_common_args')} {variable('ansible_ssh_extra_args')}"),
        *(["-o", f"UserKnownHostsFile={root / Path(known).expanduser()}"] if known else []),
        "-p", variable("ansible_port") or "22", f"{variable('ansible_user') or OPERATOR}@{host.address}",
        shlex.join(command),
    ]  # fmt: skip


def manage(fleet: Fleet, line: str, name: str = "") -> int:
    """Run a management command of the release that serves; answers its exit code.

    line: the command as a shell would take it. name: the host; the first web host unless given.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{error}: {line}", "manage", "quote it as in: fab manage \"shell -c 'print(1)'\"") from None
    if not words:
        raise UsageError("no management command is given", "manage", 'fab manage "check --deploy"')
    host = hosts(fleet, name)[0]
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        code = subprocess.call(ssh(fleet, host, ["sudo", "-n", MANAGE, *words], terminal=terminal))
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted; what the command had done by then stays done", host.name) from None
    return _checked(host, code)


def logs(fleet: Fleet, name: str = "", *, lines: int, since: float = 0, follow: bool = False) -> int:
    """Print the journal of the application's units, that of all hosts in one order of time; answers an exit code.

    lines: the last ones of each host (count). since: at most so old (seconds; 0: of any age). follow: go on until
    the person stops it.
    """
    command = ["sudo", "-n", "journalctl", "--quiet", "--no-pager", "--utc", "--output=short-iso-precise",
               "--unit=booking-*", f"--lines={lines}",
               *([f"--since=-{since:g}s"] if since else []), *(["--follow"] if follow else [])]  # fmt: skip
    asked = hosts(fleet, name)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end --follow
        if follow:
            return _follow([(host, ssh(fleet, host, command)) for host in asked])
        with ThreadPoolExecutor(max_workers=len(asked)) as pool:
            found = list(pool.map(lambda host: _output(host, ssh(fleet, host, command)), asked))
        print("".join(merged(found)), end="")
    return 0


def merged(journals: Sequence[str]) -> list[str]:
    """The lines of several journals by time; lines that go on without a time stay with the one before."""
    entries: list[str] = []
    for journal in journals:
        for line in journal.splitlines(keepends=True):
            if line[:1].isdigit() or not entries:
                entries.append(line)
            else:
                entries[-1] += line
    return sorted(entries, key=lambda entry: entry.partition(" ")[0])


def _output(host: Host, words: Sequence[str]) -> str:
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    _checked(host, done.returncode)
    return done.stdout


def _follow(commands: Sequence[tuple[Host, list[str]]]) -> int:
    """Print what all commands print, line by line as it comes, until they end."""
    running = [
        (host, subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True))
        for host, words in commands
    ]

    def copy(process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            print(line, end="", flush=True)

    try:
        with ThreadPoolExecutor(max_workers=len(running)) as pool:
            list(pool.map(copy, [process for _, process in running]))
        return max(_checked(host, process.wait()) for host, process in running)
    finally:
        for _, process in running:
            process.terminate()


def _checked(host: Host, code: int) -> int:
    if code == LOST:
        what = f"ssh has no connection to {host.address}, or lost it"
        raise PreflightError(what, host.name, f"ssh {OPERATOR}@{host.address} tells more")
    return code
