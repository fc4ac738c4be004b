"""What must be known of a host before anything on it is touched."""

import os
import subprocess
import time
from typing import Any

from .layout import HelperError, Layout

RESOLVE_SECONDS = 2.0


def preflight(layout: Layout) -> dict[str, Any]:
    """The facts that a deploy depends on, within three seconds.

    {clock: seconds since 1970, free_bytes: of the disk, available_bytes: of the memory, python: ["3.13"],
    credentials_missing: [names], resolves: {name, addresses, error}, settings_problem: ""}
    """
    space = os.statvfs(layout.srv)
    answer: dict[str, Any] = {
        "clock": 0.0,
        "free_bytes": space.f_bavail * space.f_frsize,
        "available_bytes": available_memory(layout),
        "python": pythons(layout),
        "credentials_missing": [],
        "resolves": {"name": "", "addresses": [], "error": ""},
        "settings_problem": "",
    }
    try:
        settings = layout.settings()
        answer["credentials_missing"] = [name for name in settings["credentials"] if not has_credential(layout, name)]
        answer["resolves"] = resolve(str(settings["probe_host"]))
        answer["settings_problem"] = settings_problem(layout, settings)
    except HelperError as error:
        answer["settings_problem"] = error.what
    answer["clock"] = time.time()  # last: it is compared with the clock of whoever reads the answer
    return answer


def settings_problem(layout: Layout, settings: dict[str, Any]) -> str:
    """Why no release could run with this host's settings; "" when nothing stands against it."""
    if not layout.environment.is_file():
        return f"{layout.environment} is missing: this host was never converged"
    if not settings["web"] and not settings["processes"]:
        return "this host runs neither a web server nor a process of booking_app_processes"
    return ""


def has_credential(layout: Layout, name: str) -> bool:
    """Whether a secret is there and not empty."""
    try:
        return bool((layout.credentials / name).read_bytes().strip())
    except OSError:
        return False


def available_memory(layout: Layout) -> int:
    """What the kernel says can still be used without swapping (bytes)."""
    for line in (layout.root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def pythons(layout: Layout) -> list[str]:
    """The Python versions of this host, such as 3.13."""
    names = (path.name.removeprefix("python") for path in (layout.root / "usr/bin").glob("python3.*"))
    return sorted(name for name in names if name.removeprefix("3.").isdecimal())


def resolve(name: str) -> dict[str, Any]:
    """The addresses that this host finds for a name, each once: {name, addresses, error}."""
    found: dict[str, Any] = {"name": name, "addresses": [], "error": ""}
    try:
        done = subprocess.run(
            ["getent", "ahosts", name], capture_output=True, text=True, check=False, timeout=RESOLVE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return found | {"error": f"no answer within {RESOLVE_SECONDS:g} s"}
    addresses = list(dict.fromkeys(line.split()[0] for line in done.stdout.splitlines() if line.strip()))
    return found | {"addresses": addresses, "error": "" if addresses else "the name is not known"}
