"""What is measured of the jobs that this host ran, for the node exporter's textfile collector: a file a job.

Who watches takes the latest over all hosts, as each run is one host's:
`time() - max by (name) (cron_last_success_timestamp_seconds)`.
"""

import os
import re
import tempfile
import time
from pathlib import Path

from .running import Outcome

SUCCESS = "cron_last_success_timestamp_seconds"
DURATION = "cron_last_duration_seconds"
CODE = "cron_last_exit_code"
HELP = {
    SUCCESS: "When the job last ended well on this host (seconds since 1970).",
    DURATION: "How long its last run on this host took (seconds).",
    CODE: "How its last run on this host ended (exit status).",
}


def write(directory: Path, name: str, outcome: Outcome, known: set[str]) -> None:
    """Tell of a run, in one step; what is there of jobs that are not *known* any more goes."""
    path = directory / f"cron_{name}.prom"
    success = time.time() if not outcome.code else _success(path)
    values = {SUCCESS: success, DURATION: round(outcome.seconds, 3), CODE: outcome.code}
    text = "".join(
        f"# HELP {metric} {HELP[metric]}\n# TYPE {metric} gauge\n{metric}{{name=\"{name}\"}} {value}\n"
        for metric, value in values.items() if value is not None
    )  # fmt: skip
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".cron_{name}.")  # the collector reads *.prom alone
    try:
        with os.fdopen(handle, "w") as candidate:
            candidate.write(text)
            os.fchmod(candidate.fileno(), 0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    for other in directory.glob("cron_*.prom"):
        if other.stem.removeprefix("cron_") not in known:
            other.unlink(missing_ok=True)


def _success(path: Path) -> float | None:
    """When the job last ended well, as the file tells; None where it never has."""
    found = re.search(rf"^{SUCCESS}{{.*}} ([0-9.e+]+)$", path.read_text() if path.exists() else "", re.MULTILINE)
    return float(found[1]) if found else None
