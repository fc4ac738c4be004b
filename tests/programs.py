"""Installs what the tests need of the machine and `make up` does not: stores, a browser, containers."""

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


# A program, and the package that has it. Redis' server and its checker are one program, which redis-tools has.
PROGRAMS = {
    "redis-check-rdb": "redis-tools",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "certutil": "libnss3-tools",
    "dockerd": "docker.io",
    "promtool": "prometheus",
}


# What the scanners are installed from, and where.
LOCK = ROOT / "requirements/scanners.txt"
SCANNERS = ROOT / "build/scanners"


def missing() -> list[str]:
    """The packages that are not there."""
    postgresql = any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    others = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    return ([] if postgresql else ["postgresql"]) + others


def scanners(progress: Progress) -> None:
    """Install the scanners as locked, where they are not yet. LabError."""
    done = SCANNERS / "installed.txt"
    if done.exists() and done.read_text() == LOCK.read_text():
        return
    uv = Path(sys.executable).with_name("uv")
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--no-python-downloads", "--python", sys.executable, SCANNERS],
        [uv, "pip", "sync", "--quiet", "--require-hashes", "--python", SCANNERS / "bin/python", LOCK],
    ]
    with progress.phase("scanners: sslyze, for the tests"):
        for command in commands:
            progress.run(command, log="scanners", env={"UV_SYSTEM_CERTS": "true"},
                         mend="look at the network, then the same command again")
    done.write_text(LOCK.read_text())


def main() -> int:
    """Install them where they are missing, without the services that Debian's packages would start."""
    progress = Progress(ROOT / "build/logs/tests")
    packages = missing()
    names = " ".join(packages)
    try:
        scanners(progress)
        if not packages:
            return 0
        if os.geteuid() != 0:
            raise LabError(f"programs that the tests need are missing: {names}", mend=f"sudo apt-get install {names}")
        if not CLUSTERS.exists():
            CLUSTERS.parent.mkdir(parents=True, exist_ok=True)
            CLUSTERS.write_text("create_main_cluster = false\n")
        with progress.phase(f"machine: {names}, for the tests"):
            apt_get(progress, "install", "--no-install-recommends", *packages)
    except LabError as error:
        complain(error)
        return int(error.code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
