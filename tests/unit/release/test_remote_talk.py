"""A connection to a host, over real ssh on this machine: what is said to its helper, broken off, and begun anew."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from deploy.release import commands, remote
from deploy.release.remote import HostError, Remote, UnreachableError
from deploy.release.settings import Target
from tests.bench import standins

from .fleet import SETTINGS


class Slow(standins.Host):
    """A helper that counts its conversations, and keeps one act back until it is let go."""

    def __init__(self) -> None:
        super().__init__("web1", [])
        self.began, self.go = threading.Event(), threading.Event()
        self.calls: list[str] = []

    def act(self, words: list[str], sent: bytes) -> dict[str, Any]:
        """One act."""
        self.calls.append(words[0])
        if words[0] == "migrate":
            self.began.set()
            self.go.wait(10)
        return super().act(words, sent)


@pytest.fixture
def helper() -> Iterator[Slow]:
    """What answers on the host."""
    helper = Slow()
    yield helper
    helper.go.set()


@pytest.fixture
def connected(helper: Slow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """A connection to a host on this machine; `begun` counts the helpers that were started over it."""
    key = paramiko.RSAKey.generate(2048)
    key.write_private_key_file(str(tmp_path / "key"))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    standins.listen(port, "127.0.0.1", lambda: standins.Door(key.get_base64(), helper), key)
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {key.get_name()} {key.get_base64()}\n")
    wanted = dataclasses.replace(SETTINGS, known_hosts_file=str(tmp_path / "known"), connect_seconds=10)
    found = Remote(Target("web1", "127.0.0.1", port, str(tmp_path / "key")), wanted)
    found.connect()
    yield found
    found.close()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[paramiko.Channel]:
    """The channels that helpers were started over."""
    channels: list[paramiko.Channel] = []

    class Counted(remote.Conversation):
        def __init__(self, channel: paramiko.Channel) -> None:
            channels.append(channel)
            super().__init__(channel)

    monkeypatch.setattr(remote, "Conversation", Counted)
    return channels


def aside(act: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Do something in a thread of its own; what it raised is in the list when the thread has ended."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def test_one_helper_is_started_for_many_acts(connected: Remote, begun: list[paramiko.Channel]) -> None:
    connected.greet()
    for _ in range(5):
        assert connected.call(commands.status())["current"] is None
    assert len(begun) == 1


def test_an_act_that_takes_long_holds_no_other_up(
    connected: Remote, helper: Slow, begun: list[paramiko.Channel]
) -> None:
    thread, raised = aside(lambda: connected.call(commands.migrate("r", 1)))
    assert helper.began.wait(10)
    assert connected.call(commands.beat(1)) == {"beaten": True}
    assert not connected.idle()
    helper.go.set()
    thread.join(10)
    assert (raised, len(begun)) == ([], 2)
    connected.call(commands.beat(1))
    assert len(begun) == 2, "who has ended is spoken to again"


def test_what_streams_has_a_program_of_its_own(connected: Remote, begun: list[paramiko.Channel]) -> None:
    manifest = b'{"id": "r", "migrations": {}, "parts": {"static": {"sha256": "x"}}}\n'
    assert connected.call(commands.stage("r", [], 1), iter([manifest])) == {"staged": True}
    assert begun == []


def test_an_act_that_is_aborted_ends_at_once_and_the_next_is_done(connected: Remote, helper: Slow) -> None:
    thread, raised = aside(lambda: connected.call(commands.migrate("r", 1)))
    assert helper.began.wait(10)
    connected.abort()
    thread.join(5)
    assert not thread.is_alive()
    assert isinstance(raised[0], HostError)
    assert connected.idle()
    assert connected.call(commands.beat(1)) == {"beaten": True}


def test_an_act_without_an_answer_is_given_up_and_the_next_is_asked_of_another(
    connected: Remote, helper: Slow, begun: list[paramiko.Channel]
) -> None:
    """The late answer of the first must never be taken for the second's."""
    with pytest.raises(UnreachableError, match="no answer to `migrate`"):
        connected.call(commands.migrate("r", 1), timeout=0.2)
    helper.go.set()
    assert connected.call(commands.beat(1)) == {"beaten": True}
    assert len(begun) == 2


def test_a_connection_that_breaks_is_told_from_an_act_that_fails(connected: Remote, helper: Slow) -> None:
    thread, raised = aside(lambda: connected.call(commands.migrate("r", 1)))
    assert helper.began.wait(10)
    transport = connected._client.get_transport()
    assert transport is not None
    transport.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined] # a socket
    thread.join(10)
    assert isinstance(raised[0], UnreachableError)
    assert "the connection broke during `migrate`" in raised[0].what


def test_a_broken_connection_is_made_anew(connected: Remote) -> None:
    connected.call(commands.beat(1))
    transport = connected._client.get_transport()
    assert transport is not None
    transport.close()
    assert connected.idle()
    with pytest.raises(UnreachableError):
        connected.call(commands.beat(1))
    connected.reconnect()
    assert connected.call(commands.beat(1)) == {"beaten": True}


def test_a_helper_that_fails_by_itself_is_a_failure_of_the_host(
    connected: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: standins.Door, channel: paramiko.Channel) -> None:
        channel.recv(1)
        channel.sendall(b'{"error": {"what": "no room", "unit": "", "journal": []}}\n')
        channel.send_exit_status(1)
        channel.close()

    monkeypatch.setattr(standins.Door, "_hold", fails)
    for _ in range(2):
        with pytest.raises(HostError, match="no room"):
            connected.call(commands.status())


def test_a_host_without_the_helper_says_that_it_was_never_converged(
    connected: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(self: standins.Door, channel: paramiko.Channel) -> None:
        channel.recv(1)
        channel.sendall_stderr(b"sudo: /usr/local/sbin/booking-release: command not found\n")
        channel.send_exit_status(1)
        channel.close()

    monkeypatch.setattr(standins.Door, "_hold", none)
    with pytest.raises(UnreachableError, match="never converged"):
        connected.call(commands.status())
