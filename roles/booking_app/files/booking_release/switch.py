"""Which activation serves this host: switch to one, retire the others, bring one back at boot."""

import time
from pathlib import Path
from typing import Any

from . import intent, lock, probe
from .activations import POLL_SECONDS, current_activation, current_release, end, kinds_of, launch, start
from .layout import HelperError, Layout, release_of, relink, sync_directory
from .settling import settle
from .systemd import RUNNING, WEB, cool_later, journal, keep_warm, loaded, running, stays, unit_of


def point(layout: Layout, activation: str, token: int | None = None, *, unless_moved: bool = False) -> None:
    """Let nginx's socket lead to an activation; the host's truth (`current`) follows at once.

    token: checked in the moment of the switch; None for a boot. unless_moved: do nothing if `current` names
    another release by now. HelperError: the activation's web server is about to end, as where its time to stay warm
    was over in this moment; nothing was moved.
    """
    with layout.guard():
        if token is not None:
            lock.require(layout, token)
        if unless_moved and current_release(layout) != release_of(activation):
            return
        if WEB in kinds_of(layout):
            keep_warm(activation)
            if not stays(unit_of(activation)):
                raise HelperError(f"{activation} is ending, nothing was switched", unit=unit_of(activation))
        relink(layout.current_socket, f"{activation}.sock")
        relink(layout.current, f"releases/{release_of(activation)}")
        sync_directory(layout.srv)


def swap(layout: Layout, activation: str, token: int | None = None) -> dict[str, Any]:
    """Switch this host to a running activation, and prove by its own web server that it answers.

    HelperError if there is a `reason_against` it (nothing was moved), or still one through nginx after
    `served_seconds`; the switch then stands, and undoing it is the caller's.
    """
    previous = current_activation(layout)
    web = WEB in kinds_of(layout)
    if web and (why := reason_against(layout, activation, previous, layout.socket(activation))):
        raise HelperError(f"{activation} is not ready, nothing was switched: {why}", unit=unit_of(activation))
    if not web and activation not in running():
        raise HelperError(f"{activation} does not run, nothing was switched")
    with intent.noted(layout, "swap", activation, token):
        point(layout, activation, token)
        if web:
            wait_served(layout, activation, previous)
    return {"previous": previous}


def reason_against(
    layout: Layout, activation: str, previous: str | None, address: Path | tuple[str, int]
) -> str:
    """Why this host should not be served by the activation that answers at an address; "" if it may.

    It has to be ready. But where what served before is not ready either, as when the database is away, answering is
    enough: a deploy that fails for that must still be able to go back.
    """
    status, answered, body = probe.ask(address, str(layout.settings()["probe_host"]))
    if answered != release_of(activation):
        return body.strip() or f"it answers for release {answered or 'unknown'}"
    if status == 200:
        return ""
    lost = previous is not None and probe.ready(layout, layout.socket(previous), release_of(previous))
    return "" if lost else f"/readyz said {status}: {body.strip()}"


def wait_served(layout: Layout, activation: str, previous: str | None) -> None:
    """Wait until nothing stands against an activation at this host's own web server; HelperError: it stays so."""
    until = time.monotonic() + float(layout.settings()["served_seconds"])
    while why := reason_against(layout, activation, previous, probe.web_server(layout)):
        if time.monotonic() > until:
            what = f"the web server of this host does not serve {activation}: {why}"
            raise HelperError(what, unit=unit_of(activation), journal=journal(unit_of(activation)))
        time.sleep(POLL_SECONDS)


def retire(
    layout: Layout, token: int, warm: str | None = None, seconds: int = 0, *, wait: bool = True
) -> dict[str, Any]:
    """End every activation but the one that serves; what failed is forgotten as well.

    warm: the web server of this one stays up for so many seconds more, its processes end as all others do.
    wait: for what ends to finish what it does; else systemd sees to that.
    Answers {"stopped": activations, "warm": the one that stays, or None}.
    """
    with intent.noted(layout, "retire", warm or "", token):
        with layout.guard():
            lock.require(layout, token)
            keep_warm()
            found, keep = loaded(), current_activation(layout)
            stays = warm is not None and warm != keep and found.get(warm, {}).get(WEB) == "active" and seconds > 0
            # without a timer it would stay for good
            kept = warm if warm is not None and stays and cool_later(warm, seconds) else None
        doomed = [activation for activation in found if activation not in (keep, kept)]
        end(layout, doomed, token, warm=kept, wait=wait)
    return {"stopped": doomed, "warm": kept}


def cool(layout: Layout, activation: str) -> dict[str, Any]:
    """End an activation whose time to stay warm is over, unless it serves again."""
    if activation == current_activation(layout):
        return {"stopped": []}
    end(layout, [activation])
    return {"stopped": [activation]}


def stop(layout: Layout, activation: str, token: int) -> dict[str, Any]:
    """Stop one activation; the one that serves is refused."""
    end(layout, [activation], token)
    return {"stopped": [activation]}


def clear(layout: Layout, token: int, *, wait: bool = True) -> dict[str, Any]:
    """Go back to a host without a release: nothing current, nothing running. wait: as of `retire`."""
    with layout.guard():
        lock.require(layout, token)
        layout.current_socket.unlink(missing_ok=True)
        layout.current.unlink(missing_ok=True)
        sync_directory(layout.srv)
    return {"stopped": retire(layout, token, wait=wait)["stopped"]}


def boot(layout: Layout) -> dict[str, Any]:
    """Start what `current` names and give it to nginx once it is ready. Repeated, it uses what runs already.

    Readiness needs the database, which may come up later than this host: the unit retries until it is there.
    """
    settle(layout, unless_held=True)
    release = current_release(layout)
    if release is None:
        return {"activation": None}
    found = loaded()
    alive = [name for name in running() if release_of(name) == release]
    if alive:
        serving = current_activation(layout)
        activation = serving if serving in alive else alive[-1]
        begun = {kind for kind, state in found.get(activation, {}).items() if state in RUNNING}
        launch(layout, activation, [kind for kind in kinds_of(layout) if kind not in begun])
    else:
        activation = str(start(layout, release)["activation"])
    point(layout, activation, unless_moved=True)  # a deploy may have come in between
    return {"activation": current_activation(layout)}
