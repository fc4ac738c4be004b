"""One host's part in a start and in a switch; what was kept warm for it may have ended meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.release import commands
from deploy.release.remote import FencedError, HostError, Remote, UnreachableError


def start(remote: Remote, release: str, token: int, reuse: str = "", *, switched: bool = False) -> str:
    """Start an activation and answer its id: the rest of the warm one `reuse`, or a new one where that is gone.

    switched: the host serves the warm one already; it is switched to the new one then.
    """
    patience = remote.settings.ready_seconds * 2 + 30.0
    try:
        answer = remote.call(commands.start(release, token, reuse), timeout=patience)
    except HostError as error:
        if not reuse or isinstance(error, UnreachableError | FencedError):
            raise
        answer = remote.call(commands.start(release, token), timeout=patience)
        if switched:
            remote.call(commands.swap(answer["activation"], token))
    return str(answer["activation"])


def swap(remote: Remote, token: int, release: str, warm: Mapping[str, str], started: dict[str, str]) -> None:
    """Switch a host to what was started for it, or to what is warm there; a new one is started where that is gone.

    warm, started: activations of the release, by host; what is started anew is added to the latter.
    """
    if known := started.get(remote.name):
        remote.call(commands.swap(known, token))
        return
    try:
        remote.call(commands.swap(warm[remote.name], token))
    except HostError as error:
        if isinstance(error, UnreachableError | FencedError):
            raise
        started[remote.name] = start(remote, release, token)
        remote.call(commands.swap(started[remote.name], token))
