"""Systemd, as the helper asks it: units, their state, their journal."""

import subprocess

JOURNAL_LINES = 20


def unit_of(activation: str) -> str:
    """The systemd unit of an activation's web server."""
    return f"booking-web@{activation}.service"


def systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl; the caller looks at the return code."""
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)


def journal(unit: str) -> tuple[str, ...]:
    """The last lines that a unit wrote."""
    done = subprocess.run(
        ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(JOURNAL_LINES), "-u", unit],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return tuple(done.stdout.splitlines()[-JOURNAL_LINES:])


def state(unit: str) -> str:
    """What systemd says of a unit: active, activating, ...; "failed" also while it waits for its next attempt."""
    said = systemctl("show", "--property=ActiveState,SubState", unit).stdout.split()
    found = dict(word.partition("=")[::2] for word in said)
    return "failed" if found.get("SubState") == "auto-restart" else found.get("ActiveState", "unknown")
