"""The running HAProxy, over its runtime socket (management guide, 9.3): made to do what is on disk."""

import contextlib
import csv
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from .state import BACKEND, COLUMN_ADMIN, COLUMN_SERVER, DRAINED, MAP, HelperError, Layout, Wanted

ANSWER_SECONDS = 5
SETTLE_SECONDS = 10
POLL_SECONDS = 0.05
UNIT = "haproxy.service"
CHANGING = ("activating", "reloading")  # a process that starts now may have read the files before they changed


class AbsentError(Exception):
    """No HAProxy listens on the socket."""


def ask(layout: Layout, command: str, old: str = "") -> str:
    """One command; its answer. AbsentError: nobody is there to be asked.

    old: the process id of a worker that a reload replaced, asked through the master (management guide, 9.4.1).
    """
    return _say(layout.master, f"@!{old} {command}") if old else _say(layout.socket, command)


def _say(path: Path, line: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            raise AbsentError from None
        connection.sendall(line.encode() + b"\n")
        connection.shutdown(socket.SHUT_WR)  # the master goes on listening otherwise
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def states(layout: Layout) -> dict[str, str]:
    """What HAProxy says of each server, such as UP, DOWN or DRAIN; none where it does not run."""
    try:
        rows = ask(layout, f"show stat {BACKEND} 4 -1").lstrip("# ").splitlines()
    except AbsentError:
        return {}
    return {row["svname"]: row["status"] for row in csv.DictReader(rows)}


def settle(layout: Layout, wanted: Wanted) -> None:
    """Make the running HAProxy do what is wanted; one that does not run reads it when it starts.

    HelperError: it did not within SETTLE_SECONDS.
    """
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            said = [ask(layout, command).strip() for command in commands(layout, wanted)]
            agrees = not list(commands(layout, wanted))
        except AbsentError:
            said, agrees = ["it does not answer"], False
        unit = unit_state()
        if unit not in CHANGING and (agrees or unit in ("inactive", "failed")):
            return settle_old(layout, wanted)
        if time.monotonic() > until:
            why = f"is {unit}" if agrees else ", ".join(filter(None, said)) or "changed nothing"
            raise HelperError(f"written down, but the running HAProxy did not take it: {why}")
        time.sleep(POLL_SECONDS)


def settle_old(layout: Layout, wanted: Wanted) -> None:
    """Make the workers that a reload replaced do the same: each still answers once on every idle connection. One
    that ends meanwhile answers nobody any more."""
    with contextlib.suppress(AbsentError, OSError):
        for old in old_workers(layout):
            with contextlib.suppress(AbsentError, OSError):
                for command in commands(layout, wanted, old):
                    ask(layout, command, old)


def old_workers(layout: Layout) -> list[str]:
    """The process ids of workers that a reload replaced, and that have connections still. AbsentError."""
    said = _say(layout.master, "show proc")
    rows = [line.split() for line in said.partition("# old workers")[2].partition("# programs")[0].splitlines()]
    return [row[0] for row in rows if len(row) > 1 and row[1] == "worker"]


def commands(layout: Layout, wanted: Wanted, old: str = "") -> Iterator[str]:
    """The commands that turn what HAProxy does now into what is wanted; none when it does so already.

    old: as of `ask`. A server that a person put into maintenance by hand is neither drained nor not: it is left alone.
    """
    rows = [line.split() for line in ask(layout, f"show servers state {BACKEND}", old).splitlines()]
    for row in rows:
        if len(row) > COLUMN_ADMIN and (name := row[COLUMN_SERVER]) in wanted.servers:
            drained, admin = name in wanted.drained, int(row[COLUMN_ADMIN])
            if drained and not admin & DRAINED:
                yield f"set server {BACKEND}/{name} state drain"
            elif not drained and admin & DRAINED:
                yield f"set server {BACKEND}/{name} state ready"
    entries = [line.split() for line in ask(layout, f"show map {MAP}", old).splitlines()]  # address, key, value
    pairs = {entry[1]: entry[2] for entry in entries if len(entry) == 3}
    target = {key: str(value) for key, value in wanted.maintenance._asdict().items()} if wanted.maintenance else {}
    for key in pairs.keys() - target.keys():
        yield f"del map {MAP} {key}"
    for key, value in target.items():
        if key not in pairs:
            yield f"add map {MAP} {key} {value}"
        elif pairs[key] != value:
            yield f"set map {MAP} {key} {value}"


def unit_state() -> str:
    """What systemd says of HAProxy: active, reloading, inactive, failed, …"""
    done = subprocess.run(
        ["systemctl", "show", "--property", "ActiveState", "--value", UNIT],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()
