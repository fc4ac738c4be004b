"""Activations: start one beside the others, see it ready, end it."""

import time
from collections.abc import Iterable
from typing import Any

from . import intent, lock, probe, systemd
from .layout import HelperError, Layout, release_of, write_volatile
from .marks import settings_digest
from .store import manifest_of
from .systemd import RUNNING, WEB, State, begin, is_activation, journal, keep_warm, loaded, states, systemctl, unit_of

POLL_SECONDS = 0.02
STATE_SECONDS = 0.5  # systemd is asked less often than the socket: each question is a process


def kinds_of(layout: Layout) -> list[str]:
    """The kinds of units that an activation has on this host: web, and processes by name."""
    settings = layout.settings()
    return ([WEB] if settings["web"] else []) + list(settings["processes"])


def current_release(layout: Layout) -> str | None:
    """The release that `current` names; None before the first deploy."""
    return layout.current.readlink().name if layout.current.is_symlink() else None


def current_activation(layout: Layout) -> str | None:
    """The activation that serves: the one that nginx's socket leads to; None when there is none.

    A host without a web server has the link as well, to a socket that does not exist.
    """
    if not layout.current_socket.is_symlink():
        return None
    name = layout.current_socket.readlink().name.removesuffix(".sock")
    return name if is_activation(name) else None


def start(layout: Layout, release: str, token: int | None = None, reuse: str | None = None) -> dict[str, Any]:
    """Start a new activation of a release and wait until it is ready; a failed one is stopped again.

    token: checked once more in the moment of the start, so that whoever took the lock in between, and has asked
    what runs here, is not surprised by one more. None for a boot, which no lock holds up.
    reuse: a warm activation of this release, whose web server answers; its processes alone are started.
    Answers {"activation": id, "seconds": until it was ready}.
    """
    manifest_of(layout, release)
    began = time.monotonic()
    if reuse is not None:
        wake(layout, release, reuse, token)
        activation = reuse
    else:
        with layout.guard():
            activation = f"{release}.{layout.next_number('activation')}"
    kinds = [kind for kind in kinds_of(layout) if reuse is None or kind != WEB]
    with intent.noted(layout, "start", activation, token):
        try:
            # what is warm had its processes, with these settings, until it was switched away from: they are proven
            launch(layout, activation, kinds, token, proven=reuse is not None)
        except BaseException as failure:
            try:
                # a new one is nobody else's, but somebody may have switched to a warm one meanwhile
                end(layout, [] if reuse else [activation], token if reuse else None, warm=reuse)
            except HelperError as error:  # why it did not start is worth more, unless the lock was lost
                if error.code == 13:
                    raise error from failure
            raise
    return {"activation": activation, "seconds": round(time.monotonic() - began, 3)}


def launch(
    layout: Layout, activation: str, kinds: list[str], token: int | None = None, *, proven: bool = False
) -> None:
    """Start units of an activation and wait until they, and its web server, are ready; proven: as of `wait_ready`."""
    until = time.monotonic() + float(layout.settings()["ready_seconds"])
    with layout.guard():
        if token is not None:
            lock.require(layout, token)
        if not layout.mark(activation).exists():
            write_volatile(layout.mark(activation), settings_digest(layout))
        begin(unit_of(activation, kind) for kind in kinds)
    wait_ready(layout, activation, until, proven)


def wake(layout: Layout, release: str, activation: str, token: int | None) -> None:
    """Make sure that a warm activation is there and stays: it is not ended when its time is over.

    HelperError: it is another release's, has ended, or runs with settings that have changed since.
    """
    if release_of(activation) != release:
        raise HelperError(f"{activation} is no activation of {release}", code=2)
    with layout.guard():
        if token is not None:
            lock.require(layout, token)
        keep_warm(activation)
        unit = unit_of(activation)
        if WEB not in kinds_of(layout) or not systemd.stays(unit):
            raise HelperError(f"{activation} is not warm any more: start its release anew", unit=unit)
        if not is_fresh(layout, activation, settings_digest(layout)):
            raise HelperError(f"{activation} has settings that changed since: start its release anew", unit=unit)


def is_fresh(layout: Layout, activation: str, digest: str) -> bool:
    """Whether an activation was started with the settings that have this digest."""
    try:
        return layout.mark(activation).read_text() == digest
    except FileNotFoundError:
        return False


def wait_ready(layout: Layout, activation: str, until: float, proven: bool = False) -> None:
    """Wait until an activation is ready on this host: its web server answers /readyz with 200 and its release id,
    systemd calls each of its units active, and each process has been so for `steady_seconds`, unless it is proven.

    `until` is a time.monotonic() instant. HelperError with the last answer and the journal when it passes, or
    as soon as a unit has ended.
    """
    steady = 0.0 if proven else float(layout.settings()["steady_seconds"])
    units = {unit_of(activation, kind): 0.0 if kind == WEB else steady for kind in kinds_of(layout)}
    look = time.monotonic() + STATE_SECONDS
    while True:
        why = ""
        if unit_of(activation) in units:
            why = probe.ready(layout, layout.socket(activation), release_of(activation))
        instant = time.monotonic()
        if not why or instant > min(look, until):
            found = states(units)
            lacking = [unit for unit, state in found.items() if not is_up(state, units[unit])]
            if not lacking and not why:
                return
            if dead := [unit for unit in lacking if found[unit].name not in RUNNING]:
                raise HelperError(f"{activation} died: {why or dead[0]}", unit=dead[0], journal=journal(dead[0]))
            if instant > until:
                unit = next(iter(lacking or units))
                why = why or f"{unit} is {found[unit].name}"
                raise HelperError(f"{activation} does not get ready: {why}", unit=unit, journal=journal(unit))
            look = instant + STATE_SECONDS
            if not why:  # systemd alone is waited for: to ask it takes a process, and the processor from who starts
                time.sleep(min(max(missing(found[unit], units[unit]) for unit in lacking), STATE_SECONDS))
                continue
        time.sleep(POLL_SECONDS)


def missing(state: State, steady: float) -> float:
    """How long (seconds) a unit has to go on to have been active for so many seconds; a poll's time if it is not."""
    return max(steady - state.seconds, 0.001) if state.name == "active" else POLL_SECONDS


def is_up(state: State, steady: float) -> bool:
    """Whether a unit is active, and has been for so many seconds."""
    return state.name == "active" and state.seconds >= steady


def end(
    layout: Layout, activations: Iterable[str], token: int | None = None, *, warm: str | None = None, wait: bool = True
) -> None:
    """Stop activations (systemd lets them finish what they do) and leave no trace of them.

    warm: of this one end the processes alone. token: checked in the moment of the stop, as is that none of the
    activations serves this host by then. wait: until they have ended; else they cannot be taken for warm any more,
    and each takes its socket along as it ends.
    """
    doomed, found, kinds = list(activations), loaded(), kinds_of(layout)
    units = [unit_of(activation, kind) for activation in doomed for kind in {*kinds, *found.get(activation, {})}]
    if warm is not None:
        units += [unit_of(warm, kind) for kind in {*kinds, *found.get(warm, {})} - {WEB}]
    if not units:
        return
    with layout.guard():
        if token is not None:
            lock.require(layout, token)
        if (serving := current_activation(layout)) in doomed:
            raise HelperError(f"{serving} serves this host: switch to another first", code=2)
        systemctl("stop", "--no-block", *units)
        for activation in doomed:
            layout.mark(activation).unlink(missing_ok=True)
    if not wait:
        return
    failed = systemctl("stop", *units)
    systemctl("reset-failed", *units)
    for activation in doomed:
        layout.socket(activation).unlink(missing_ok=True)
    if failed.returncode:
        what = f"{', '.join(doomed or units)} did not stop: {failed.stderr.strip()}"
        raise HelperError(what, unit=units[0], journal=journal(units[0]))
