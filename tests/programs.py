"""Installs what the tests need of the machine and `make up` does not: PostgreSQL's server programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lab.errors import LabError
from lab.machine import apt_get
from lab.progress import Progress, complain

ROOT = Path(__file__).resolve().parent.parent
CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")


def main() -> int:
    """Install them where they are missing, without the cluster that Debian's package would start."""
    if any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return 0
    progress = Progress(ROOT / "build/logs/tests")
    try:
        if os.geteuid() != 0:
            raise LabError("PostgreSQL's server programs are missing", mend="sudo apt-get install postgresql")
        if not CLUSTERS.exists():
            CLUSTERS.parent.mkdir(parents=True, exist_ok=True)
            CLUSTERS.write_text("create_main_cluster = false\n")
        with progress.phase("machine: PostgreSQL's server programs, for the application's tests"):
            apt_get(progress, "install", "--no-install-recommends", "postgresql")
    except LabError as error:
        complain(error)
        return int(error.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
