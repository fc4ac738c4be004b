"""What each server answered, from the balancer's access log in the journal."""

import json
import math
import subprocess
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from .state import HelperError

# The release engine's own requests: what is judged by them is not what clients get.
PROBE_AGENT = "nexus-probe"
HEALTH = ("/healthz", "/readyz")


def traffic(servers: Collection[str], since: float, until: float | None) -> dict[str, Any]:
    """Requests of clients that ended between two times (Unix time; until now), by server.

    {"servers": {name: {"requests", "errors" (answers of 500 and above), "p50_ms", "p95_ms"}}}; the times are those
    until the answer began, or until it was given up, and null where there was no request.
    """
    return {"servers": count(servers, journal(since, until))}


def count(servers: Collection[str], lines: Iterable[bytes]) -> dict[str, dict[str, Any]]:
    """The figures of each server from lines of the log; what is not a request is passed over."""
    times: dict[str, list[int]] = {name: [] for name in servers}
    errors = dict.fromkeys(servers, 0)
    for line in lines:
        if not line.startswith(b"{"):
            continue
        try:
            entry = json.loads(line.decode(errors="replace"))
            server = entry["server"]
            if server not in times or entry["agent"] == PROBE_AGENT or entry["path"] in HEALTH:
                continue
            times[server].append(entry["response_ms"] if entry["response_ms"] >= 0 else entry["total_ms"])
            errors[server] += entry["status"] >= 500
        except (ValueError, KeyError, TypeError):
            continue
    return {
        name: {
            "requests": len(found), "errors": errors[name],
            "p50_ms": quantile(found, 0.5), "p95_ms": quantile(found, 0.95),
        }
        for name, found in times.items()
    }  # fmt: skip


def quantile(values: Sequence[float], share: float) -> float | None:
    """The least value that `share` of them do not exceed; None of none."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else None


def journal(since: float, until: float | None) -> Iterator[bytes]:
    """The lines of the access log between two times. HelperError: it cannot be read."""
    end = time.time() if until is None else until
    command = ["journalctl", "--quiet", "--no-pager", "--output", "cat", "--identifier", "loadbalancer",
               "--since", f"@{since:.6f}", "--until", f"@{end:.6f}"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        yield from process.stdout
        why = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise HelperError(f"the journal cannot be read: {why or process.returncode}")
