"""A conversation with the helper: many acts over one connection, each as if the program had been started for it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from deploy.release import commands

from .machine import HELPER, OLD, OWNER, Host

PROGRAM = """
import sys
sys.path.insert(0, {helper!r})
from pathlib import Path
from booking_release import cli, {patched}
from booking_release.layout import Layout
{patch}
sys.exit(cli.main(["session"], Layout(Path({root!r}))))
"""


def talk(
    host: Host, *calls: tuple[tuple[str, ...], str] | str, patched: str = "lock", patch: str = ""
) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[str]]:
    """Say some calls (arguments and standard input; or a line as it is) to a new helper: its answers, and its end."""
    lines = [call if isinstance(call, str) else json.dumps([call[0], call[1]]) for call in calls]
    program = PROGRAM.format(helper=str(HELPER), root=str(host.root), patched=patched, patch=patch)
    done = subprocess.run(
        [sys.executable, "-c", program], input="".join(f"{line}\n" for line in lines), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()], done


def test_each_call_of_a_conversation_is_an_act_of_its_own(serving: Host) -> None:
    token = str(serving.token)
    (status, record, wrong), end = talk_all(
        serving, (("status",), ""), (("record", "--token", token), '{"id": "x"}'), (("record", "--token", "99"), "{}")
    )
    assert json.loads(status["out"])["current"] == OLD
    assert json.loads(record["out"]) == {"recorded": "x"}
    assert serving.call("status")[1]["ledger"][-1] == {"id": "x"}
    assert (status["code"], record["code"], wrong["code"]) == (0, 0, 13)
    assert end == {"acts": 3}


def talk_all(host: Host, *calls: tuple[tuple[str, ...], str]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """As `talk`, of a conversation that ends well: the answers to the calls, and the last word."""
    answers, done = talk(host, *calls)
    assert done.returncode == 0
    return answers[:-1], answers[-1]


def test_a_call_that_is_none_ends_the_conversation(host: Host) -> None:
    long = json.dumps([["status", *["--token=1"] * 1000], ""])  # what the log would not take whole
    for line in ("status", '{"act": "status"}', '[["status", 1], ""]', "[[], 3]", long):
        answers, done = talk(host, line, (("status",), ""))
        assert done.returncode == 2
        assert "not a call" in answers[0]["error"]["what"]
        assert len(answers) == 1


def test_an_act_that_dies_takes_nothing_else_with_it(host: Host) -> None:
    """Killed, as where the memory is short: its lock on the state goes with it, and the next act is done."""
    dies = "import os, signal; lock.take = lambda layout, *_: stuck(layout)\n"
    dies += "def stuck(layout):\n    with layout.guard(): os.kill(os.getpid(), signal.SIGKILL)\n"
    (killed, after, _), _ = talk(host, (("lock", OWNER), ""), (("status",), ""), patch=dies)
    assert (killed["code"], killed["out"]) == (-9, "")
    assert after["code"] == 0


def test_a_host_that_is_short_of_processes_says_so_and_goes_on(host: Host) -> None:
    short = "import os, errno\nfork = os.fork\n"
    short += "def none():\n    os.fork = fork\n    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))\n"
    short += "os.fork = none\n"
    (refused, after, _), _ = talk(host, (("status",), ""), (("status",), ""), patch=short)
    assert refused["code"] == 1
    assert "temporarily unavailable" in refused["err"]
    assert after["code"] == 0


def test_an_act_that_ends_in_a_way_of_its_own_says_so(host: Host) -> None:
    leaves = "import sys; lock.take = lambda *_: sys.exit('left')\n"
    (left, after, _), _ = talk(host, (("lock", OWNER), ""), (("status",), ""), patch=leaves)
    assert left["code"] == 1
    assert "left" in left["err"]
    assert after["code"] == 0


def test_what_an_act_starts_never_reads_the_next_call(host: Host) -> None:
    reads = "import subprocess\nlock.take = lambda *_: {'token': len(subprocess.run(['cat'], stdout=-1).stdout)}\n"
    (first, second, _), _ = talk(host, (("lock", OWNER), "sent"), (("status",), ""), patch=reads)
    assert json.loads(first["out"])["token"] == 0
    assert second["code"] == 0


@pytest.mark.parametrize("sent", ["", '{"id": "ü\\n"}'])
def test_what_is_said_is_what_the_helper_hears(sent: str) -> None:
    line = commands.spoken(commands.record(4), sent.encode())
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line) == [["record", "--token", "4"], sent]
