"""What a machine must be and have before hosts can be raised on it, and what is installed on it."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lab import cgroups
from lab.errors import LabError
from lab.progress import Progress
from lab.state import CACHE, LABS

SUPPORTED = {("debian", "12"), ("debian", "13"), ("ubuntu", "24.04")}
PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ssh": "openssh-client",
    "socat": "socat",
    "unshare": "util-linux",
}
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18, "CAP_SYS_ADMIN": 21, "CAP_MKNOD": 27}
# Measured: the baked image takes 1.3 GB, a fleet of five with a test run's data under 3 GB.
DISK_BYTES = 6 * 1024**3
# Ten hosts exhaust the kernel's defaults (128 instances), and systemd then fails in odd places.
INOTIFY = {"max_user_instances": 2048, "max_user_watches": 524288}


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """The fields of os-release(5)."""
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {key: value.strip().strip('"') for key, _, value in pairs}


def missing_capabilities(effective: int) -> list[str]:
    """The capabilities of CAPABILITIES that a process with the bit mask *effective* lacks."""
    return [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]


def effective_capabilities(status: Path = Path("/proc/self/status")) -> int:
    """This process's effective capabilities as a bit mask (capabilities(7))."""
    line = next(row for row in status.read_text().splitlines() if row.startswith("CapEff:"))
    return int(line.split()[1], 16)


def check(release: Mapping[str, str] | None = None) -> None:
    """Raise LabError when this machine cannot raise hosts: system, root, capabilities, disk."""
    if os.geteuid() != 0:
        raise LabError("raising hosts needs root", mend="sudo make up")
    release = os_release() if release is None else release
    if (release.get("ID", ""), release.get("VERSION_ID", "")) not in SUPPORTED:
        raise LabError(
            f"{release.get('PRETTY_NAME', 'this system')} is not supported: the sandbox is raised on "
            "Debian 12, Debian 13 or Ubuntu 24.04",
            where="/etc/os-release", mend="run it in a virtual machine with one of these",
        )
    missing = missing_capabilities(effective_capabilities())
    if missing or not _may_mount():
        lacking = ", ".join(missing) or "permission to mount"
        raise LabError(
            f"this machine may not raise hosts: it lacks {lacking} (a plain container?)",
            mend="use a virtual machine, or start the container with --privileged; "
            "`make check` works here as it is",
        )
    if cgroups.hierarchy() == "legacy":
        raise LabError(
            "control groups v2 are not mounted, and Debian 13 does not boot without",
            where="/sys/fs/cgroup",
            mend="mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified",
        )
    check_disk()


def check_disk(need: int = DISK_BYTES) -> None:
    """Raise LabError when a file system that the sandbox writes to has less than *need* bytes free."""
    for folder in (LABS, CACHE):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if free < need:
            raise LabError(
                f"{free / 1024**3:.1f} GiB free, {need / 1024**3:.0f} GiB needed",
                where=str(folder),
                mend="free some space (`make clean-images` removes cached images), or mount a larger disk there",
            )


def _may_mount() -> bool:
    """Whether the kernel lets us make a mount: a container's seccomp filter may forbid what CapEff grants."""
    libc = ctypes.CDLL(None, use_errno=True)
    pid = os.fork()
    if pid == 0:
        new_mount_namespace = 0x00020000  # CLONE_NEWNS, sched.h
        try:
            failed = libc.unshare(new_mount_namespace) or libc.mount(b"none", b"/", None, 1 << 18 | 1 << 14, None)
        finally:
            os._exit(1 if failed else 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def install(progress: Progress) -> None:
    """Install the programs that raise hosts, where they are missing."""
    wanted = sorted({package for program, package in PACKAGES.items() if not shutil.which(program)})
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        wanted.append("debian-archive-keyring")
    if wanted:
        apt_get(progress, "install", "--no-install-recommends", *wanted)


def apt_get(progress: Progress, *arguments: str) -> None:
    """Refresh the package lists and run apt-get without questions."""
    mend = "check the machine's package mirror: `sudo apt-get update`"
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    progress.run(["apt-get", "update", "--error-on=any"], log="tools", mend=mend, env=quiet)
    progress.run(["apt-get", "--yes", *arguments], log="tools", mend=mend, env=quiet)


def raise_limits() -> None:
    """Raise the kernel's inotify limits where they are too low for a fleet. Never lowers one."""
    for name, value in INOTIFY.items():
        path = Path("/proc/sys/fs/inotify") / name
        if int(path.read_text()) < value:
            path.write_text(str(value))


def resolvers(candidates: tuple[str, ...] = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")) -> list[str]:
    """The machine's own name servers (addresses), past a local stub that hosts cannot reach."""
    for candidate in candidates:
        path = Path(candidate)
        if not path.exists():
            continue
        rows = (line.split() for line in path.read_text().splitlines())
        servers = [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"]
        reachable = [server for server in servers if not server.startswith(("127.", "::1"))]
        if reachable:
            return reachable
    return []


def succeeds(*command: str) -> bool:
    """Whether *command* exits with 0; its output is dropped."""
    return subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def python() -> str:
    """The interpreter of the project's own tools."""
    return sys.executable
