"""What an act that was cut off left behind is brought to an end before the next act begins."""

from typing import Any

from . import intent, lock
from .activations import current_activation, current_release, kinds_of
from .layout import Layout, release_of, relink, sync_directory
from .store import sweep_incoming
from .systemd import RUNNING, WEB, loaded, systemctl, unit_of


def settle(layout: Layout, *, unless_held: bool = False) -> dict[str, Any] | None:
    """Bring to an end what an act was about to do when it was cut off; answers that intent, None without one.

    A start that nobody waits for is stopped, unless it serves; a half switch is made whole; what was half
    received or half removed goes. unless_held: leave it alone while somebody holds the lock: it may be his.
    """
    with layout.guard():
        left = intent.read(layout)
        if left is None or (unless_held and is_held(layout)):
            return None
        if left["act"] == "start" and left["argument"] != current_activation(layout):
            # without waiting: whoever takes the lock asks next what runs, and a unit that stops does not
            systemctl("stop", "--no-block", *(unit_of(left["argument"], kind) for kind in kinds_of(layout)))
            layout.mark(left["argument"]).unlink(missing_ok=True)
        elif left["act"] == "swap":
            make_whole(layout)
        elif left["act"] in ("stage", "remove"):
            sweep_incoming(layout)
        layout.intent.unlink()
        return left


def is_held(layout: Layout) -> bool:
    """Whether somebody holds the lock whose lease has not run out."""
    owner = lock.held(layout)
    return owner is not None and not owner["expired"]


def make_whole(layout: Layout) -> None:
    """Let the socket and `current` name one release: that of the socket, if it runs. Call it inside `guard`."""
    serving, release, web = current_activation(layout), current_release(layout), layout.settings()["web"]
    found = loaded().items()
    alive = [name for name, kinds in found if RUNNING & ({kinds.get(WEB, "")} if web else set(kinds.values()))]
    if serving is not None and serving in alive:
        relink(layout.current, f"releases/{release_of(serving)}")
        sync_directory(layout.srv)
    elif others := [activation for activation in alive if release_of(activation) == release]:
        relink(layout.current_socket, f"{others[-1]}.sock")
