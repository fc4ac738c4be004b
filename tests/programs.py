"""Installs what the application's tests need of the machine and `make up` does not: the programs of its stores."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lab.errors import LabError
from lab.machine import apt_get
from lab.progress import Progress, complain

ROOT = Path(__file__).resolve().parent.parent
CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")


def missing() -> list[str]:
    """The packages that are not there. Redis' server and its checker are one program, which redis-tools has."""
    postgresql = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    redis = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    return ([] if postgresql else ["postgresql"]) + ([] if redis else ["redis-tools"])


def main() -> int:
    """Install them where they are missing, without the services that Debian's packages would start."""
    packages = missing()
    if not packages:
        return 0
    progress = Progress(ROOT / "build/logs/tests")
    names = " ".join(packages)
    try:
        if os.geteuid() != 0:
            raise LabError(f"programs that the tests need are missing: {names}", mend=f"sudo apt-get install {names}")
        if not CLUSTERS.exists():
            CLUSTERS.parent.mkdir(parents=True, exist_ok=True)
            CLUSTERS.write_text("create_main_cluster = false\n")
        with progress.phase(f"machine: {names}, for the application's tests"):
            apt_get(progress, "install", "--no-install-recommends", *packages)
    except LabError as error:
        complain(error)
        return int(error.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
