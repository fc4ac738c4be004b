"""The argument list of every command that a host may be asked to run."""

from __future__ import annotations

import shlex

import pytest

from deploy.release import commands

from .machine import NEW, OLD, Host

SUDO = ("sudo", "-n", "/usr/local/sbin/booking-release")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (commands.status(), ("status",)),
        (commands.lock({"user": "ann"}), ("lock", '{"user": "ann"}')),
        (commands.lock({"user": "ann"}, 4), ("lock", "--replace", "4", '{"user": "ann"}')),
        (commands.beat(4), ("beat", "--token", "4")),
        (commands.renew(4), ("renew", "--token", "4")),
        (commands.preflight(), ("preflight",)),
        (commands.database(), ("database",)),
        (commands.session(), ("session",)),
        (commands.unlock(4), ("unlock", "--token", "4")),
        (
            commands.stage(NEW, ["venv", "code"], 4),
            ("stage", "--token", "4", "--part", "venv", "--part", "code", NEW),
        ),
        (commands.migrate(NEW, 4), ("migrate", "--token", "4", NEW)),
        (commands.start(NEW, 4), ("start", "--token", "4", NEW)),
        (commands.swap(f"{NEW}.2", 4), ("swap", "--token", "4", f"{NEW}.2")),
        (commands.start(NEW, 4, f"{NEW}.2"), ("start", "--token", "4", "--reuse", f"{NEW}.2", NEW)),
        (commands.retire(4), ("retire", "--token", "4")),
        (
            commands.retire(4, f"{OLD}.1", 900),
            ("retire", "--token", "4", "--warm", f"{OLD}.1", "--seconds", "900"),
        ),
        (commands.stop(f"{NEW}.2", 4), ("stop", "--token", "4", f"{NEW}.2")),
        (commands.clear(4), ("clear", "--token", "4")),
        (commands.clear(4, wait=False), ("clear", "--token", "4", "--no-wait")),
        (commands.retire(4, wait=False), ("retire", "--token", "4", "--no-wait")),
        (commands.record(4), ("record", "--token", "4")),
        (commands.remove([OLD, NEW], 4), ("remove", "--token", "4", OLD, NEW)),
    ],
    ids=lambda value: value[3] if value[:1] == ("sudo",) else "",
)
def test_every_command_is_one_call_of_the_helper_that_it_understands(
    command: commands.Command, words: tuple[str, ...], host: Host
) -> None:
    assert command == SUDO + words
    host.modules["cli"].parser(words).parse_args(words)


def test_a_remote_shell_sees_every_word_as_it_is() -> None:
    command = commands.lock({"user": "o'neil; rm -rf / $(id) `id` \n"})
    assert tuple(shlex.split(commands.shell(command))) == command
