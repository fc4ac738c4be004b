"""A host's helper, started once and called many times: each call is a line, and so is its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass

import paramiko

from deploy.release import commands

BLOCK = 1 << 16


@dataclass(frozen=True)
class Said:
    """How a call of a program ended; code -1: nobody knows, the connection broke or the program was killed."""

    code: int
    out: str
    err: str

    @classmethod
    def of(cls, channel: paramiko.Channel) -> Said:
        """The end of a program, and what it has yet to say."""
        out = b"".join(iter(lambda: channel.recv(BLOCK), b""))
        err = b"".join(iter(lambda: channel.recv_stderr(BLOCK), b""))
        return cls(channel.recv_exit_status(), out.decode(errors="replace"), err.decode(errors="replace").strip())


class Conversation:
    """A conversation with the helper of one host over a channel of its own. One call at a time."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self.channel = channel
        self._rest = b""
        channel.exec_command(commands.shell(commands.session()))

    def call(self, command: commands.Command, sent: bytes, timeout: float) -> Said:
        """Have one act done; `sent` is its standard input. Where the helper ended instead, how it did.

        TimeoutError: nothing came for so many seconds. OSError: the channel is closed.
        """
        self.channel.settimeout(timeout)
        try:
            self.channel.sendall(commands.spoken(command, sent))
        except TimeoutError:
            raise
        except OSError:  # it ended before it read that: what it said tells why
            return Said.of(self.channel)
        while b"\n" not in self._rest:
            if not (block := self.channel.recv(BLOCK)):
                return Said.of(self.channel)
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        said = json.loads(line)
        if "error" in said:  # of the helper itself, which ends with it
            self.channel.close()
            return Said(1, line.decode(errors="replace"), "")
        return Said(said["code"], said["out"], said["err"].strip())

    @property
    def over(self) -> bool:
        """Whether nobody answers here any more."""
        return bool(self.channel.closed or self.channel.eof_received)
