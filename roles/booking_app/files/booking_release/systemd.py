"""What systemd is asked and told: units, their states, their journals, timers."""

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .layout import HelperError, activation_id

WEB = "web"
JOURNAL_LINES = 20
RUNNING = {"active", "activating", "reloading"}
COOL = "booking-cool-"
HELPER = "/usr/local/sbin/booking-release"
TRANSIENT = Path("/run/systemd/transient")  # the units that systemd-run made, for as long as they are (systemd.unit(5))


class State(NamedTuple):
    """What systemd says of a unit: active, activating, failed, ...; and for how long it has been active."""

    name: str
    seconds: float


def unit_of(activation: str, kind: str = WEB) -> str:
    """The systemd unit of one kind of process (web, or one of booking_app_processes) of an activation."""
    return f"booking-{kind}@{activation}.service"


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


def states(units: Iterable[str]) -> dict[str, State]:
    """The states of units; "failed" also for one that waits for its next attempt, "activating" for one that waits
    for its first."""
    names, found = list(units), {}
    for name, said in show(names).items():
        state = "failed" if said.get("SubState") == "auto-restart" else said.get("ActiveState", "unknown")
        if state not in RUNNING and said.get("Job"):
            state = "activating"
        since = int(said.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        found[name] = State(state, time.monotonic() - since)
    return {name: found.get(name, State("unknown", 0.0)) for name in names}


def show(names: list[str]) -> dict[str, dict[str, str]]:
    """What systemd says of units, by property; of none, or of fewer, if it does not answer."""
    if not names:
        return {}
    properties = "--property=ActiveState,SubState,Job,ActiveEnterTimestampMonotonic"
    blocks = systemctl("show", properties, *names).stdout.strip().split("\n\n")
    return {
        name: dict(line.partition("=")[::2] for line in block.splitlines())
        for name, block in zip(names, blocks, strict=False)
    }


def stays(unit: str) -> bool:
    """Whether a unit runs and nothing is about to end it: one that is up has a job only when it is to be stopped."""
    said = show([unit]).get(unit, {})
    state = said.get("ActiveState")
    return state in RUNNING and not (state == "active" and said.get("Job"))


def loaded() -> dict[str, dict[str, str]]:
    """Every activation that systemd knows, in the order of their starts, with the state of each kind of unit."""
    done = systemctl("list-units", "--all", "--plain", "--no-legend", "--full", "booking-*@*.service")
    found: dict[str, dict[str, str]] = {}
    for row in (line.split() for line in done.stdout.splitlines()):
        kind, _, activation = row[0].removeprefix("booking-").removesuffix(".service").partition("@")
        if len(row) > 2 and is_activation(activation):
            found.setdefault(activation, {})[kind] = row[2]
    return dict(sorted(found.items(), key=lambda item: int(item[0].rpartition(".")[2])))


def running() -> list[str]:
    """Activations of which anything runs, or is about to, in the order of their starts."""
    return [name for name, kinds in loaded().items() if RUNNING & set(kinds.values())]


def is_activation(text: str) -> bool:
    """Whether a text names an activation."""
    try:
        activation_id(text)
    except HelperError:
        return False
    return True


def begin(units: Iterable[str]) -> None:
    """Have systemd start units; what comes of it is for the caller to see. HelperError: it refuses."""
    names = list(units)
    if names and (done := systemctl("start", "--no-block", *names)).returncode:
        raise HelperError(f"{names[0]} does not start: {done.stderr.strip()}", unit=names[0], journal=journal(names[0]))


def cool_later(activation: str, seconds: int) -> bool:
    """Have systemd end a warm activation after a while; whether it will."""
    command = [
        "systemd-run", "--quiet", "--collect", f"--unit={COOL}{activation}", f"--on-active={seconds}",
        "--timer-property=AccuracySec=1s", HELPER, "cool", activation,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def keep_warm(activation: str = "*") -> None:
    """Forget that an activation (or any) was to be ended later, also where that has just begun."""
    if any(TRANSIENT.glob(f"{COOL}{activation}.*")):
        systemctl("stop", f"{COOL}{activation}.timer", f"{COOL}{activation}.service")
