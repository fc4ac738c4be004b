"""The running HAProxy, over its runtime socket (management guide, 9.3): made to do what is on disk."""

import contextlib
import csv
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from . import units
from .state import Config, HelperError, Layout, Wanted, differs, write_changed

ANSWER_SECONDS = 5
SETTLE_SECONDS = 10
POLL_SECONDS = 0.05
BACKEND = "web"
# The names that the configuration knows them by.
MAP = "/var/lib/booking-balancer/maintenance.map"
ACCOUNT_MAP = "/etc/loadbalancer/acme-account.map"
BUNDLE = "/etc/loadbalancer/certs/site.pem"
# One line of a server-state file, version 1 (HAProxy management guide, "show servers state"): running (2),
# drained by the administrator (8), weight 1, health checks on (6). Neither ids nor the address are said: HAProxy
# finds a server by the names, and its address stays the configuration's.
ROW = "0 {backend} 0 {server} - 2 8 1 1 0 1 0 3 6 0 0 0 - {port} -\n"
VERSION = "1\n"
COLUMN_SERVER, COLUMN_ADMIN, DRAINED = 3, 6, 8


class AbsentError(Exception):
    """No HAProxy listens on the socket."""


def files(layout: Layout, config: Config, wanted: Wanted) -> dict[Path, str]:
    """What HAProxy reads at a start or reload, so that it does what is wanted."""
    rows = [ROW.format(backend=BACKEND, server=name, port=config.servers[name].port) for name in sorted(wanted.drained)]
    pairs = wanted.maintenance._asdict() if wanted.maintenance else {}
    return {
        layout.server_state: VERSION + "".join(rows),
        layout.maintenance: "".join(f"{key} {value}\n" for key, value in pairs.items()),
    }


def write(layout: Layout, config: Config, wanted: Wanted) -> bool:
    """Have HAProxy do what is wanted from its next start or reload on; whether anything is new."""
    changed = [write_changed(path, text) for path, text in files(layout, config, wanted).items()]
    return any(changed)


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


def states(layout: Layout, config: Config) -> dict[str, str]:
    """What HAProxy says of each server, such as UP, DOWN or DRAIN; none where it does not run."""
    try:
        rows = ask(layout, f"show stat {BACKEND} 4 -1").lstrip("# ").splitlines()
    except AbsentError:
        return {}
    return {row["svname"]: row["status"] for row in csv.DictReader(rows) if row["svname"] in config.servers}


def settle(layout: Layout, config: Config, wanted: Wanted) -> None:
    """Have it on disk first, then make the running HAProxy do it; one that does not run reads it when it starts.

    HelperError: it did not within SETTLE_SECONDS.
    """
    write(layout, config, wanted)
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        try:
            said = [ask(layout, command).strip() for command in commands(layout, config, wanted)]
            agrees = not list(commands(layout, config, wanted))
        except AbsentError:
            said, agrees = ["it does not answer"], False
        unit = units.state(units.HAPROXY)
        if unit not in units.CHANGING and (agrees or unit in ("inactive", "failed")):
            return settle_old(layout, config, wanted)
        if time.monotonic() > until:
            why = f"is {unit}" if agrees else ", ".join(filter(None, said)) or "changed nothing"
            raise HelperError(f"written down, but the running HAProxy did not take it: {why}")
        time.sleep(POLL_SECONDS)


def settle_old(layout: Layout, config: Config, wanted: Wanted) -> None:
    """Make the workers that a reload replaced do the same: each still answers once on every idle connection. One
    that ends meanwhile answers nobody any more."""
    with contextlib.suppress(AbsentError, OSError):
        for old in old_workers(layout):
            with contextlib.suppress(AbsentError, OSError):
                for command in commands(layout, config, wanted, old):
                    ask(layout, command, old)


def old_workers(layout: Layout) -> list[str]:
    """The process ids of workers that a reload replaced, and that have connections still. AbsentError."""
    said = _say(layout.master, "show proc")
    rows = [line.split() for line in said.partition("# old workers")[2].partition("# programs")[0].splitlines()]
    return [row[0] for row in rows if len(row) > 1 and row[1] == "worker"]


def commands(layout: Layout, config: Config, wanted: Wanted, old: str = "") -> Iterator[str]:
    """The commands that turn what HAProxy does now into what is wanted; none when it does so already.

    old: as of `ask`. A server that a person put into maintenance by hand is neither drained nor not: it is left alone.
    """
    rows = [line.split() for line in ask(layout, f"show servers state {BACKEND}", old).splitlines()]
    for row in rows:
        if len(row) > COLUMN_ADMIN and (name := row[COLUMN_SERVER]) in config.servers:
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


def take(layout: Layout) -> None:
    """Have the running HAProxy serve the bundle that is on disk; no connection ends for it. HelperError: it did not."""
    # An empty line would end the payload of a command on the runtime socket.
    payload = "\n".join(line for line in layout.bundle.read_text().splitlines() if line.strip())
    try:
        said = ask(layout, f"set ssl cert {BUNDLE} <<\n{payload}\n")
        said += ask(layout, f"commit ssl cert {BUNDLE}")
    except AbsentError:
        return  # one that does not run reads it when it starts
    if "Success" not in said:
        raise HelperError(f"HAProxy did not take the certificate: {' '.join(said.split())}")


def answered(layout: Layout) -> str | None:
    """The thumbprint that the running HAProxy answers challenges with; None for none. AbsentError."""
    entries = [line.split() for line in ask(layout, f"show map {ACCOUNT_MAP}").splitlines()]
    return {entry[1]: entry[2] for entry in entries if len(entry) == 3}.get("thumbprint")


def answers(layout: Layout, thumbprint: str) -> bool:
    """Whether challenges for this account are answered, now and after every start."""
    if differs(layout.account, f"thumbprint {thumbprint}\n"):
        return False
    try:
        return answered(layout) == thumbprint
    except AbsentError:
        return True


def account(layout: Layout, config: Config, wanted: Wanted, thumbprint: str) -> bool:
    """Answer challenges for the ACME account with this thumbprint, now and after every start; whether it is new."""
    write(layout, config, wanted)
    changed = write_changed(layout.account, f"thumbprint {thumbprint}\n")
    with contextlib.suppress(AbsentError):
        before = answered(layout)
        if before != thumbprint:
            verb = "add" if before is None else "set"
            if said := ask(layout, f"{verb} map {ACCOUNT_MAP} thumbprint {thumbprint}").strip():
                raise HelperError(f"HAProxy did not take the account's thumbprint: {said}")
            return True
    return changed
