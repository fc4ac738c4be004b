"""systemd's units, as far as the balancer's helpers need them."""

import subprocess

from .state import HelperError

HAPROXY, NGINX, WATCH = "haproxy.service", "nginx.service", "booking-balancer-watch.service"
CHANGING = ("activating", "reloading")  # a process that starts now may have read the files before they changed
RUNNING = ("active", *CHANGING)


def state(unit: str) -> str:
    """What systemd says of a unit: active, reloading, inactive, failed, …"""
    return show(unit, "ActiveState")


def show(unit: str, what: str) -> str:
    """One property of a unit; empty where there is no such unit."""
    done = subprocess.run(
        ["systemctl", "show", "--property", what, "--value", unit],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip()


def control(verb: str, *arguments: str) -> None:
    """Have systemd do it. HelperError: it did not."""
    done = subprocess.run(
        ["systemctl", verb, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise HelperError(f"systemctl {verb} {' '.join(arguments)} failed: {done.stdout.strip()}")
