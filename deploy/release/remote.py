"""One host over ssh: strict about its key, without Nagle's delay, every answer one line of JSON."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import paramiko

from deploy.errors import Exit
from deploy.release import commands, postquantum
from deploy.release.conversation import Conversation, Said
from deploy.release.settings import DEPLOY_USER, Settings, Target

HELPER = commands.helper("")[:-1]
SILENT_PEER_MS = 20_000
ENDING_SECONDS = 0.2
KEEPALIVE_SECONDS = 5  # what is sent and never acknowledged is how a dead host is noticed
logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # what it would log is raised, and told, as well


class HostError(Exception):
    """An act failed on a host. `unit` and `journal` (its last lines) are empty where no unit is concerned."""

    def __init__(self, host: str, what: str, mend: str = "", *, unit: str = "", journal: Iterable[str] = ()) -> None:
        super().__init__(f"{host}: {what}")
        self.host, self.what, self.unit, self.journal, self.mend = host, what, unit, tuple(journal), mend


class UnreachableError(HostError):
    """No connection, or nobody there who understands."""


class FencedError(HostError):
    """The host refuses the token: its lock belongs to another run by now, or its lease has run out."""


class Remote:
    """A connection to one host as the deploy account."""

    def __init__(self, target: Target, settings: Settings) -> None:
        self.target, self.settings = target, settings
        self._client = paramiko.SSHClient()
        self._channels: set[paramiko.Channel] = set()
        self._talks = deque[Conversation]()  # with helpers that run, while nobody speaks to them
        self._making = threading.Lock()  # a call never meets a connection that is about to be replaced

    @property
    def name(self) -> str:
        """The host's name in the inventory."""
        return self.target.name

    def connect(self, most: float = math.inf) -> None:
        """Connect, within `most` seconds. UnreachableError: with the reason and what mends it."""
        target, seconds = self.target, min(self.settings.connect_seconds, most)
        known = self.settings.known_hosts_file
        try:
            self._client.load_host_keys(known) if known else self._client.load_system_host_keys()
            self._client.set_missing_host_key_policy(paramiko.RejectPolicy())
            sock = socket.create_connection((target.address, target.port), seconds)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_PEER_MS)
            self._client.connect(
                target.address, target.port, DEPLOY_USER, key_filename=target.key_file or None, sock=sock,
                allow_agent=not target.key_file, look_for_keys=not target.key_file,
                timeout=seconds, banner_timeout=seconds, auth_timeout=seconds, transport_factory=postquantum.Transport,
            )  # fmt: skip
            if transport := self._client.get_transport():
                transport.set_keepalive(KEEPALIVE_SECONDS)
        except (OSError, paramiko.SSHException) as error:
            self.close()
            raise UnreachableError(self.name, *self._why(error)) from None

    def reconnect(self, most: float = math.inf) -> None:
        """Connect anew, within `most` seconds. UnreachableError: as of `connect`."""
        with self._making:
            self.close()
            self.connect(most)

    def idle(self) -> bool:
        """Whether a new connection would cut nothing off: the present one is dead, or nothing is under way on it."""
        transport = self._client.get_transport()
        return transport is None or not transport.is_active() or not self._channels

    def _why(self, error: Exception) -> tuple[str, str]:
        """What kept a connection from being made, and what mends it."""
        target, known = self.target, self.settings.known_hosts_file or "~/.ssh/known_hosts"
        place = f"{target.address} port {target.port}"
        if isinstance(error, FileNotFoundError):
            return f"the file {error.filename} is missing", "make it, or correct the inventory"
        if isinstance(error, paramiko.BadHostKeyException):
            return (
                f"its ssh key is not the one in {known}",
                f"ssh-keygen -f {known} -R {target.address}, if it was rebuilt",
            )
        if isinstance(error, paramiko.AuthenticationException):
            return f"it refuses the account {DEPLOY_USER}: never converged, or another key", self._converge()
        if "not found in known_hosts" in str(error):
            scan = f"ssh-keyscan -p {target.port} {target.address} >> {known}, after comparing it"
            return f"its ssh key is unknown to {known}", scan
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return f"no connection to {place}: {reason}", "start the host, or correct ansible_host"

    def _converge(self) -> str:
        return f"ansible-playbook -i inventories/{self.settings.env} site.yml"

    def call(self, command: commands.Command, stream: Iterable[bytes] = (), timeout: float = 120) -> dict[str, Any]:
        """Run one command with `stream` as standard input; answers its JSON. HostError: it failed.

        What has its input at hand (a sequence) is said to a helper that this connection has running already;
        anything else is a program of its own.
        timeout: seconds without a byte in either direction after which the host counts as lost.
        """
        spoken = isinstance(stream, Sequence) and command[: len(HELPER)] == HELPER
        try:
            with self._making:
                transport = self._client.get_transport()
            if transport is None:
                raise UnreachableError(self.name, "not connected")
            if spoken:
                said = self._say(transport, command, b"".join(stream), timeout)
            else:
                said = self._run(transport, command, stream, timeout)
        except TimeoutError:
            raise UnreachableError(self.name, f"no answer to `{command[3]}` within {timeout:.0f} s") from None
        except (OSError, EOFError, KeyError, ValueError, paramiko.SSHException) as error:
            raise UnreachableError(self.name, f"the connection broke during `{command[3]}`: {error}") from None
        if said.code < 0:
            transport.join(ENDING_SECONDS)  # its channels are closed a moment before it says that it is over
            if not transport.is_active():
                raise UnreachableError(self.name, f"the connection broke during `{command[3]}`")
        return self._answer(said.code, said.out, said.err)

    def _run(
        self, transport: paramiko.Transport, command: commands.Command, stream: Iterable[bytes], timeout: float
    ) -> Said:
        """A program's run."""
        with self._open(transport, timeout) as channel, contextlib.closing(channel):
            channel.settimeout(timeout)
            channel.exec_command(commands.shell(command))
            with contextlib.suppress(OSError):  # it ended before it read everything: its answer says why
                for block in stream:
                    channel.sendall(block)
                channel.shutdown_write()
            return Said.of(channel)

    def _say(self, transport: paramiko.Transport, command: commands.Command, sent: bytes, timeout: float) -> Said:
        """One call of a helper that runs, which is started if none is idle; it goes on unless this call fails."""
        talk = self._idle_talk()
        with self._open(transport, timeout, talk.channel if talk else None) as channel:
            try:
                talk = talk or Conversation(channel)
                said = talk.call(command, sent, timeout)
            except BaseException:
                channel.close()
                raise
        self._talks.append(talk)
        return said

    def _idle_talk(self) -> Conversation | None:
        with contextlib.suppress(IndexError):
            while (talk := self._talks.pop()).over:
                pass
            return talk
        return None

    def greet(self) -> None:
        """Have a helper started, without waiting for it: who calls it next waits the less."""
        transport = self._client.get_transport()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):  # the first call tells
            if transport:
                with self._open(transport, self.settings.connect_seconds) as channel:
                    self._talks.append(Conversation(channel))

    @contextlib.contextmanager
    def _open(
        self, transport: paramiko.Transport, timeout: float, channel: paramiko.Channel | None = None
    ) -> Iterator[paramiko.Channel]:
        """A channel, a new one unless it is given, that `abort` closes while the block runs."""
        channel = channel or transport.open_session(timeout=min(self.settings.connect_seconds, timeout))
        self._channels.add(channel)
        try:
            yield channel
        finally:
            self._channels.discard(channel)

    def _answer(self, code: int, out: str, err: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError:
            if "command not found" in err or "password is required" in err or "not allowed" in err:
                what = "the release helper is not there: this host was never converged"
                raise UnreachableError(self.name, what, self._converge()) from None
            raise HostError(self.name, f"the helper ended with {code}: {err or out.strip() or 'no output'}") from None
        if error := answer.get("error"):
            if "invalid choice: 'session'" in error["what"]:
                raise UnreachableError(self.name, "its release helper is older than this engine", self._converge())
            kind = FencedError if code == Exit.LOCKED else HostError
            raise kind(self.name, error["what"], unit=error["unit"], journal=error["journal"])
        return answer

    def abort(self) -> None:
        """End what is under way; whoever waits for it gets a HostError."""
        for channel in list(self._channels):
            channel.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()  # first: a channel that is forgotten says goodbye, which a dead line would hold up
        self._talks.clear()


def file_blocks(path: Path, size: int = 1 << 18) -> Iterable[bytes]:
    """A file's contents in blocks of `size` bytes."""
    with path.open("rb") as handle:
        yield from iter(lambda: handle.read(size), b"")
