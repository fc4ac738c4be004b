"""Activations: start one beside the others, prove it ready, switch to it, stop it, bring it back at boot."""

import time
from typing import Any

from . import lock
from .layout import HelperError, Layout, activation_id, release_of, relink, sync_directory
from .probe import ask
from .store import manifest_of
from .systemd import journal, state, systemctl, unit_of

POLL_SECONDS = 0.02
STATE_SECONDS = 0.2  # systemd is asked less often than the socket: each question is a process
RUNNING = {"active", "activating", "reloading"}


def web_server(layout: Layout) -> tuple[str, int]:
    """Where this host's own web server listens."""
    return "127.0.0.1", int(layout.settings()["web_port"])


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
