"""What is left to do when a release serves: old files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploy.release import commands, state
from deploy.release.session import HostsError, Session
from deploy.release.state import HostState


def prune(session: Session, states: Mapping[str, HostState], hosts: Sequence[str], keep: set[str]) -> str:
    """Delete releases that hosts need not keep; answers which, or why some are left for the next deploy."""
    doomed = {host: state.prune(states[host], keep) for host in hosts}
    busy = [host for host in hosts if doomed[host]]
    try:
        session.each(
            busy, lambda remote: remote.call(commands.remove(doomed[remote.name], session.tokens[remote.name]))
        )
    except HostsError as failures:  # the release serves and is recorded: old files are no reason to go back
        return f"left for the next deploy: {failures}"
    return ", ".join(sorted({release for host in busy for release in doomed[host]}))
