"""Activations: start one beside the others, prove it ready, switch to it, stop it, bring it back at boot."""

import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from . import lock
from .layout import HelperError, Layout, activation_id, release_of, relink, sync_directory
from .store import manifest_of

POLL_SECONDS = 0.02
STATE_SECONDS = 0.2  # systemd is asked less often than the socket: each question is a process
JOURNAL_LINES = 20
ANSWER_SECONDS = 5
LONGEST_BODY = 1000
RUNNING = {"active", "activating", "reloading"}


def unit_of(activation: str) -> str:
    """The systemd unit of an activation's web server."""
    return f"booking-web@{activation}.service"


def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl; the caller looks at the return code."""
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)


def journal(unit: str) -> tuple[str, ...]:
    """The last lines that a unit wrote."""
    done = subprocess.run(
        ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(JOURNAL_LINES), "-u", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return tuple(done.stdout.splitlines()[-JOURNAL_LINES:])


def web_server(layout: Layout) -> tuple[str, int]:
    """Where this host's own web server listens."""
    return "127.0.0.1", int(layout.settings()["web_port"])


def ask(address: Path | tuple[str, int], host: str) -> tuple[int, str, str]:
    """GET /readyz under the site's name: status, release id, body of the answer; or (0, "", error).

    address: a Unix socket's path, or address and port. HTTP/1.0, so that the answer ends with the connection;
    by hand, as importing http.client would double the time that this program takes to start.
    """
    request = f"GET /readyz HTTP/1.0\r\nHost: {host}\r\nX-Forwarded-Proto: https\r\n\r\n"
    family, place = (socket.AF_UNIX, str(address)) if isinstance(address, Path) else (socket.AF_INET, address)
    try:
        with socket.socket(family) as connection:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(place)
            connection.sendall(request.encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError as error:
        return 0, "", f"{type(error).__name__}: {error}"
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    lines = head.split("\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[1].isdecimal():
        return 0, "", "the answer was cut short" if answer else "the connection was closed without an answer"
    identity = next((line.partition(": ")[2] for line in lines if line.lower().startswith("x-release-id: ")), "")
    return int(words[1]), identity, body[:LONGEST_BODY]


def wait_ready(layout: Layout, activation: str, until: float) -> None:
    """Wait until systemd calls the activation ready and its own socket answers /readyz with 200 and its release id.

    `until` is a time.monotonic() instant. HelperError with the last answer and the journal when it passes, or
    as soon as the unit has ended.
    """
    host, unit = str(layout.settings()["probe_host"]), unit_of(activation)
    look = time.monotonic() + STATE_SECONDS
    while True:
        status, answered, body = ask(layout.socket(activation), host)
        ready = status == 200 and answered == release_of(activation)
        if ready and state(unit) == "active":
            return
        why = f"/readyz said {status} for release {answered or 'unknown'}: {body.strip()}" if status else body
        if time.monotonic() > until:
            raise HelperError(f"{activation} does not get ready: {why}", unit=unit, journal=journal(unit))
        if time.monotonic() > look:
            if state(unit) not in RUNNING:
                raise HelperError(f"{activation} died: {why}", unit=unit, journal=journal(unit))
            look = time.monotonic() + STATE_SECONDS
        time.sleep(POLL_SECONDS)


def state(unit: str) -> str:
    """What systemd says of a unit: active, activating, ...; "failed" also while it waits for its next attempt."""
    said = systemctl("show", "--property=ActiveState,SubState", unit).stdout.split()
    found = dict(word.partition("=")[::2] for word in said)
    return "failed" if found.get("SubState") == "auto-restart" else found.get("ActiveState", "unknown")


def start(layout: Layout, release: str, token: int | None = None) -> dict[str, Any]:
    """Start a new activation of a release and wait until it is ready; a failed one is stopped again.

    token: checked once more in the moment of the start, so that whoever took the lock in between, and has asked
    what runs here, is not surprised by one more. None for a boot, which no lock holds up.
    """
    manifest_of(layout, release)
    until = time.monotonic() + float(layout.settings()["ready_seconds"])
    with layout.guard():
        if token is not None:
            lock.require(layout, token)
        activation = f"{release}.{layout.next_number('activation')}"
        begin(activation)
    try:
        wait_ready(layout, activation, until)
    except BaseException:
        end(layout, activation)
        raise
    return {"activation": activation}


def begin(activation: str) -> None:
    """Have systemd start a unit; what comes of it is for `wait_ready` to see."""
    unit = unit_of(activation)
    if systemctl("start", "--no-block", unit).returncode:
        raise HelperError(f"{activation} does not start", unit=unit, journal=journal(unit))


def end(layout: Layout, activation: str, token: int | None = None) -> None:
    """Stop a unit (systemd lets it finish its requests) and leave no trace of it.

    token: checked in the moment of the stop, as is that the activation does not serve this host by then.
    """
    unit = unit_of(activation)
    with layout.guard():
        if token is not None:
            lock.require(layout, token)
        if current_activation(layout) == activation:
            raise HelperError(f"{activation} serves this host: switch to another first", code=2)
        systemctl("stop", "--no-block", unit)
    failed = systemctl("stop", unit)
    systemctl("reset-failed", unit)
    layout.socket(activation).unlink(missing_ok=True)
    if failed.returncode:
        raise HelperError(f"{activation} does not stop: {failed.stderr.strip()}", unit=unit, journal=journal(unit))


def loaded() -> dict[str, str]:
    """Every activation that systemd knows, with its state: active, activating, deactivating, failed, ..."""
    done = systemctl("list-units", "--all", "--plain", "--no-legend", "--full", "booking-web@*.service")
    rows = (line.split() for line in done.stdout.splitlines())
    found = {row[0].removeprefix("booking-web@").removesuffix(".service"): row[2] for row in rows if len(row) > 2}
    return {name: state for name, state in sorted(found.items()) if is_activation(name)}


def running() -> list[str]:
    """Activations that run, or are about to."""
    return [name for name, state in loaded().items() if state in RUNNING]


def is_activation(text: str) -> bool:
    """Whether a text names an activation."""
    try:
        activation_id(text)
    except HelperError:
        return False
    return True


def current_release(layout: Layout) -> str | None:
    """The release that `current` names; None before the first deploy."""
    return layout.current.readlink().name if layout.current.is_symlink() else None


def current_activation(layout: Layout) -> str | None:
    """The activation behind the socket that nginx uses; None when there is none."""
    if not layout.current_socket.is_symlink():
        return None
    name = layout.current_socket.readlink().name.removesuffix(".sock")
    return name if is_activation(name) else None


def point(layout: Layout, activation: str, token: int | None = None, *, unless_moved: bool = False) -> None:
    """Let nginx's socket lead to an activation; the host's truth (`current`) follows at once.

    token: checked in the moment of the switch; None for a boot. unless_moved: do nothing if `current` names
    another release by now.
    """
    with layout.guard():
        if token is not None:
            lock.require(layout, token)
        if unless_moved and current_release(layout) != release_of(activation):
            return
        relink(layout.current_socket, f"{activation}.sock")
        relink(layout.current, f"releases/{release_of(activation)}")
        sync_directory(layout.srv)


def swap(layout: Layout, activation: str, token: int | None = None) -> dict[str, Any]:
    """Switch this host to a running activation, and prove by its own web server that it answers.

    HelperError if the activation does not run, or if nginx does not answer with its release id within
    `served_seconds`; the switch then stands, and undoing it is the caller's.
    """
    if not layout.socket(activation).is_socket():
        raise HelperError(f"{activation} has no socket: it does not run", unit=unit_of(activation))
    previous = current_activation(layout)
    point(layout, activation, token)
    settings = layout.settings()
    until = time.monotonic() + float(settings["served_seconds"])
    while True:
        status, answered, body = ask(web_server(layout), str(settings["probe_host"]))
        if status == 200 and answered == release_of(activation):
            return {"previous": previous}
        if time.monotonic() > until:
            unit, said = unit_of(activation), f"{status or 'nothing'} for release {answered or 'unknown'}"
            what = f"the web server of this host does not serve {activation}: it said {said}"
            raise HelperError(f"{what}: {body.strip()}", unit=unit, journal=journal(unit))
        time.sleep(POLL_SECONDS)


def stop_others(layout: Layout, token: int) -> dict[str, Any]:
    """Stop every activation but the one that nginx uses; what failed is forgotten as well."""
    keep = current_activation(layout)
    doomed = [activation for activation in loaded() if activation != keep]
    for activation in doomed:
        end(layout, activation, token)
    return {"stopped": doomed}


def clear(layout: Layout, token: int) -> dict[str, Any]:
    """Go back to a host without a release: nothing current, nothing running."""
    with layout.guard():
        lock.require(layout, token)
        layout.current_socket.unlink(missing_ok=True)
        layout.current.unlink(missing_ok=True)
        sync_directory(layout.srv)
    return stop_others(layout, token)


def boot(layout: Layout) -> dict[str, Any]:
    """Start what `current` names and give it to nginx once it is ready. Repeated, it uses what runs already.

    Readiness needs the database, which may come up later than this host: the unit retries until it is there.
    """
    release = current_release(layout)
    if release is None:
        return {"activation": None}
    alive = [activation for activation in running() if release_of(activation) == release]
    if alive:
        wait_ready(layout, alive[-1], time.monotonic() + float(layout.settings()["ready_seconds"]))
    activation = str(alive[-1] if alive else start(layout, release)["activation"])
    point(layout, activation, unless_moved=True)  # a deploy may have come in between
    return {"activation": current_activation(layout)}
