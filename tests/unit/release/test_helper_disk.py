"""A host whose disk is full: the lock changes hands, it goes back to the release before, and remembers that."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from .machine import NEW, OLD, OWNER, Host


class Disk:
    """The disk below /var and /srv. When it is full, no file is made there, and none becomes longer."""

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host, self.monkeypatch = host, monkeypatch

    def fill(self) -> None:
        """Leave no room."""
        make, open_file, write = os.open, Path.open, os.pwrite
        places = [self.host.root / "var", self.host.root / "srv"]

        def is_new(path: Path) -> bool:
            return any(place in path.parents for place in places) and not path.exists()

        def opened(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if flags & os.O_CREAT and is_new(Path(path)):
                raise OSError(errno.ENOSPC, "No space left on device")
            return make(path, flags, *more, **named)

        def opened_file(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
            if mode[0] in "wax" and is_new(path):
                raise OSError(errno.ENOSPC, "No space left on device")
            return Full(path, "a+b") if mode[0] == "a" else open_file(path, mode, *more, **named)

        def written(handle: int, data: bytes, offset: int) -> int:
            return write(handle, data[: os.fstat(handle).st_size - offset], offset)

        self.monkeypatch.setattr(os, "open", opened)
        self.monkeypatch.setattr(Path, "open", opened_file)
        self.monkeypatch.setattr(os, "pwrite", written)

    def clean(self) -> None:
        """Make room again."""
        self.monkeypatch.undo()


class Full(io.FileIO):
    """A file that takes a few bytes more, and then none."""

    def write(self, data: Any) -> int:
        """Write the beginning of a line; ENOSPC for the rest."""
        if not data.startswith((b"{", b"\n")):
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data[:7])


@pytest.fixture
def disk(host: Host) -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Disk(host, monkeypatch)


def record(host: Host, name: str) -> tuple[int, dict[str, Any]]:
    return host.act("record", stream=json.dumps({"id": name}).encode())


def ledger(host: Host) -> list[str]:
    return [entry["id"] for entry in host.status()["ledger"]]


def test_the_lock_changes_hands_on_a_full_disk(host: Host, disk: Disk) -> None:
    host.call("lock", OWNER)
    host.call("unlock", "--token", "1")
    disk.fill()
    assert host.call("lock", OWNER) == (0, {"token": 2, "settled": None})
    assert host.call("renew", "--token", "2") == (0, {"token": 3})
    assert host.call("lock", "--replace", "3", OWNER)[1]["token"] == 4
    assert host.call("unlock", "--token", "4") == (0, {"released": True})
    assert host.status()["lock"] is None


def test_a_full_disk_is_one_here(host: Host, disk: Disk) -> None:
    """The control: what was never written has no room."""
    disk.fill()
    code, answer = host.call("lock", OWNER)
    assert (code, "No space left" in answer["error"]["what"]) == (1, True)
    disk.clean()
    assert host.call("lock", OWNER)[1]["token"] == 1


def test_a_host_with_a_full_disk_goes_back_to_a_release_that_is_started_anew(serving: Host, disk: Disk) -> None:
    serving.act("start", NEW)
    serving.act("swap", f"{NEW}.2")
    serving.act("retire")
    disk.fill()
    assert serving.act("start", OLD)[1].get("activation") == f"{OLD}.3"
    assert serving.act("swap", f"{OLD}.3")[0] == 0
    assert serving.act("retire")[0] == 0
    status = serving.status()
    assert (status["current"], status["running"]) == (OLD, [f"{OLD}.3"])


def test_an_entry_for_which_the_disk_has_no_room_waits_in_memory(host: Host, disk: Disk) -> None:
    record(host, "1")
    before = host.layout.ledger.read_bytes()
    disk.fill()
    assert record(host, "2") == (0, {"recorded": "2"})
    assert record(host, "3") == (0, {"recorded": "3"})
    assert host.layout.ledger.read_bytes() == before, "no half of a line is left"
    assert ledger(host) == ["1", "2", "3"]
    disk.clean()
    record(host, "4")
    assert [json.loads(line)["id"] for line in host.layout.ledger.read_text().splitlines()] == ["1", "2", "3", "4"]
    assert not host.layout.spill.exists()


def test_an_entry_that_was_written_after_all_is_told_once(host: Host) -> None:
    """A helper was killed after it had written what waited, and before it forgot it."""
    for name in ("1", "2"):
        record(host, name)
    host.layout.spill.write_text('{"id": "1"}')
    assert ledger(host) == ["1", "2"]
    record(host, "3")
    assert ledger(host) == ["1", "2", "3"]


@pytest.mark.parametrize("left", ["", '{"token": 1, "ow'])
def test_a_lock_that_was_half_written_when_the_power_went_keeps_nobody_out(host: Host, left: str) -> None:
    host.call("lock", OWNER)
    host.layout.lock.write_text(left)
    assert host.call("clear", "--token", "1")[0] == 13
    assert host.call("lock", OWNER)[1]["token"] == 2


def test_a_number_that_was_never_written_was_never_given(host: Host) -> None:
    (host.layout.state / "token.number").write_text("")
    assert host.call("lock", OWNER)[1]["token"] == 1


def test_an_owner_too_long_for_the_lock_is_refused_and_has_none(host: Host) -> None:
    assert host.call("lock", json.dumps({"user": "x" * 5000}))[0] == 2
    assert host.status()["lock"] is None
