"""The base image of all hosts: Debian 13 with the roles' packages in it, cached by what went in."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import yaml

from lab.errors import LabError
from lab.progress import Progress
from lab.state import CACHE, ROOT, every, turn

SUITE = "trixie"
BASE = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "iproute2",
    "iptables", "ca-certificates", "sudo", "curl",
)
# The packages of `outside`, the host that plays the rest of the world.
OUTSIDE = ("dnsmasq", "pebble", "python3-aiosmtpd")
# What tests ask hosts with.
AUDITORS = ("lynis",)
CUSTOMIZE = Path(__file__).with_name("customize-image")


def role_packages(roles: Path = ROOT / "roles") -> list[str]:
    """The packages that the roles install: every `<role>_packages` of their defaults, sorted."""
    found: set[str] = set()
    for defaults in roles.glob("*/defaults/main.yml"):
        values = yaml.safe_load(defaults.read_text()) or {}
        found.update(values.get(f"{defaults.parent.parent.name}_packages", []))
    return sorted(found)


def packages(*, baked: bool) -> list[str]:
    """What the image holds; unbaked, only what a provider's fresh server has."""
    extra = [*OUTSIDE, *AUDITORS, *role_packages()] if baked else []
    return [*BASE, *sorted(set(extra) - set(BASE))]


def sources(targets: Iterable[str], codename: str) -> list[str]:
    """The image's apt sources, from the machine's own mirrors.

    *targets*: lines "URI RELEASE COMPONENT" as `apt-get indextargets` prints them; *codename*: the
    machine's release, whose place SUITE takes. Empty where the machine is not Debian: mmdebstrap
    then uses its own default mirror.
    """
    rows = [line.split()[:3] for line in targets if len(line.split()) >= 3]
    wanted = {codename: SUITE, f"{codename}-updates": f"{SUITE}-updates", f"{codename}-security": f"{SUITE}-security"}
    lines = [f"deb {uri} {wanted[release]} main" for uri, release, part in rows if release in wanted and part == "main"]
    return sorted(set(lines), key=lambda line: (line.split()[2] != SUITE, line))


def key(names: Iterable[str]) -> str:
    """The name of an image: a hash of everything that decides its content."""
    content = "\n".join([SUITE, CUSTOMIZE.read_text(), *sorted(names)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def path(image: str) -> Path:
    """The root folder of a finished image."""
    return CACHE / "images" / image


def ensure(progress: Progress, *, baked: bool, codename: str) -> str:
    """Build the image unless it is cached; returns its name. One build at a time on a machine."""
    names = packages(baked=baked)
    image = key(names)
    with turn("image"):
        if path(image).is_dir():
            return image
        partial = path(image).with_suffix(".partial")
        _remove(partial)
        partial.parent.mkdir(parents=True, exist_ok=True)
        _build(progress, names, partial, codename)
        partial.rename(path(image))
    return image


def _build(progress: Progress, names: list[str], target: Path, codename: str) -> None:
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        check=True, capture_output=True, text=True,
    )
    lines = sources(listing.stdout.splitlines(), codename) if codename in ("bookworm", "trixie") else []
    mirror: list[str | Path] = []
    if lines:
        listed = target.with_suffix(".list")
        listed.write_text("\n".join(lines) + "\n")
        mirror = [listed]
    progress.run(
        [
            "mmdebstrap", "--variant=minbase", f"--include={','.join(names)}",
            # A mirror frozen in time serves lists that have expired; hosts are no less safe for it,
            # because the archive's signature is checked all the same.
            "--aptopt=Acquire::Check-Valid-Until false", "--aptopt=Acquire::Check-Date false",
            "--aptopt=Acquire::Retries 3",
            # The lists stay, so that a baked host needs no network to find its packages present.
            "--skip=cleanup/apt/lists", "--skip=check/empty",
            f"--customize-hook={CUSTOMIZE}", SUITE, target, *mirror,
        ],
        log="image",
        mend="check that the package mirror answers (`sudo apt-get update`), then run this again",
    )


def clean() -> list[str]:
    """Remove every cached image that no sandbox uses; returns the names removed."""
    used = {lab.image for lab in every()}
    removed = []
    with turn("image"):
        for folder in sorted((CACHE / "images").glob("*")):
            if folder.is_dir() and folder.name not in used:
                _remove(folder)
                removed.append(folder.name)
    return removed


def _remove(folder: Path) -> None:
    """Delete an image tree, undoing what a killed build left mounted in it."""
    if not folder.exists():
        return
    mounts = [row.split()[1] for row in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=True)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise LabError(str(error), where=str(folder), mend=f"sudo rm -rf {folder}") from error
