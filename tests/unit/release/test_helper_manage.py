"""booking-manage: a management command by systemd, which is not left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .machine import HELPER, NEW

# systemd-run: says how it was called, and lasts as long as the file `lasting` is there
SYSTEMD_RUN = """#!/bin/sh
[ ! -t 0 ] && cat > "$ROOT/input"
printf '%s\\n' "$@" > "$ROOT/called"
while [ -e "$ROOT/lasting" ]; do sleep 0.05; done
exit 7
"""
SYSTEMCTL = """#!/bin/sh
echo "$@" > "$ROOT/systemctl"
rm "$ROOT/lasting"
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    for name, text in {"systemd-run": SYSTEMD_RUN, "systemctl": SYSTEMCTL}.items():
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return ["env", f"ROOT={tmp_path}", f"PATH={tmp_path}/bin:{os.environ['PATH']}", str(HELPER / "booking-manage"),
            "--release", NEW, "check", "--deploy", "a  b"]  # fmt: skip


def called(root: Path) -> list[str]:
    return (root / "called").read_text().splitlines()


def test_input_and_exit_status_pass_through(command: list[str], tmp_path: Path) -> None:
    assert subprocess.run(command, input=b"said", check=False, timeout=10).returncode == 7
    assert (tmp_path / "input").read_bytes() == b"said"
    words = called(tmp_path)
    assert words[-7:] == [
        "/usr/local/lib/booking/run-release", f"{NEW}.0", "venv/bin/python", "manage.py", "check", "--deploy", "a  b",
    ]  # fmt: skip
    assert "--property=User=booking" in words
    assert [word for word in words if word.startswith("--property=LoadCredential=")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_is_told_to_end_ends_the_command_as_well(command: list[str], tmp_path: Path, number: int) -> None:
    """systemd would go on with it, beyond the time for which a job's lock holds."""
    (tmp_path / "lasting").touch()
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        # a shell cannot trap what its parent ignored, and nohup ignores SIGHUP
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    until = time.monotonic() + 10
    while not (tmp_path / "called").exists() or not called(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=10) == 143
    (unit,) = [word.removeprefix("--unit=") for word in called(tmp_path) if word.startswith("--unit=")]
    assert (tmp_path / "systemctl").read_text().split() == ["stop", unit]
    assert unit.startswith("booking-manage-")
    assert unit.endswith(".service")
