"""What a balancer tells of its certificate, for the node exporter's textfile collector."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

HELP = {
    "booking_certificate_served": "Whether this balancer's own port serves a certificate (1 or 0).",
    "booking_certificate_not_after_seconds": "When the certificate that this balancer serves ends (Unix time).",
    "booking_certificate_in_step": "Whether a balancer serves the certificate that was issued last (1 or 0).",
    "booking_certificate_compared_seconds": "When the issuer last compared all balancers (Unix time).",
}


def own(folder: Path) -> bool:
    """Write what this balancer's own port serves; whether it serves a certificate."""
    done = subprocess.run(["booking-edge", "certificate"], capture_output=True, text=True, check=False)
    said = json.loads(done.stdout) if done.returncode == 0 else None
    values = {"booking_certificate_served": {"": 1 if said else 0}}
    if said:
        label = f'serial="{said["serial"]}"'
        values["booking_certificate_not_after_seconds"] = {label: said["not_after"]}
    write(folder / "certificate.prom", values)
    return said is not None


def compared(folder: Path, balancers: Mapping[str, bool]) -> None:
    """Write what the issuer found of every balancer."""
    values = {
        "booking_certificate_in_step": {f'balancer="{name}"': int(well) for name, well in balancers.items()},
        "booking_certificate_compared_seconds": {"": int(time.time())},
    }
    write(folder / "certificate_issuer.prom", values)


def forget(folder: Path) -> None:
    """Tell nothing of other balancers any more: another one issues."""
    (folder / "certificate_issuer.prom").unlink(missing_ok=True)


def render(values: Mapping[str, Mapping[str, int]]) -> str:
    """Prometheus' text format of gauges: by name, then by labels ("" for none)."""
    lines = []
    for name, samples in values.items():
        lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} gauge"]
        lines += [f"{name}{{{labels}}} {value}" if labels else f"{name} {value}" for labels, value in samples.items()]
    return "\n".join(lines) + "\n"


def write(path: Path, values: Mapping[str, Mapping[str, int]]) -> None:
    """Replace a file of metrics in one step; the collector reads *.prom alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.")
    try:
        with os.fdopen(handle, "w") as candidate:
            candidate.write(render(values))
            os.fchmod(candidate.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
