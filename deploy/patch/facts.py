"""Pure: what a host says of its packages, typed, and what an upgrade of them asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

_INST = re.compile(r"^Inst (?P<name>\S+) (?:\[(?P<old>[^\]]*)\] )?\((?P<new>\S+) (?P<origin>[^)]*)\)")
_BLACKLIST = re.compile(r'Package-Blacklist:: "(.*)";')
# What every process has open, or what cannot be restarted under those that use it.
_REBOOT = re.compile(r"^(linux-image-|libc6$|systemd$|dbus(-daemon|-broker)?$)")
_UNTOUCHABLE = re.compile(r"^(dbus|dbus-broker|systemd-\w+|user@.*|getty@.*|nexus-patch|booking-.*)\.service$")
_OBSOLETE_KERNEL = ("2", "3")  # needrestart: an ABI compatible upgrade is pending; another version is


@dataclass(frozen=True)
class Upgrade:
    """One package: installed version ("" for a new one), the version that it gets, whether others leave it alone.

    security: the version comes from a security archive. held: by apt, or from unattended upgrades.
    """

    name: str
    old: str
    new: str
    security: bool = False
    held: bool = False


@dataclass(frozen=True)
class Intent:
    """What a run was about to do to a host; on the host's disk until that is done.

    packages: to be upgraded. boot: the boot it was written in. drained: a person had drained the host before.
    failed: units that had failed before.
    """

    packages: tuple[str, ...]
    boot: str
    drained: bool = False
    failed: tuple[str, ...] = ()

    def dump(self) -> str:
        """As the host keeps it."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def load(cls, text: str) -> Intent | None:
        """What a host kept; None for nothing. One that cannot be read asks for everything again."""
        if not text.strip():
            return None
        try:
            said = json.loads(text)
            return cls(tuple(said["packages"]), said["boot"], bool(said["drained"]), tuple(said["failed"]))
        except (ValueError, KeyError, TypeError):
            return cls((), "")


@dataclass(frozen=True)
class Survey:
    """What a host says: what can be upgraded, and what stands against it.

    error: why apt cannot say. removed: packages that an upgrade would take away. half: packages that are unpacked and
    not configured. reboot: why one is pending, "" if none is. stale: services that use files which are gone.
    failed: units that failed. foreign: somebody else's policy-rc.d forbids services. age: of the package lists
    (seconds; None without any). upgrading: an upgrade of ours is under way.
    """

    host: str
    boot: str
    upgrades: tuple[Upgrade, ...] = ()
    removed: tuple[str, ...] = ()
    error: str = ""
    half: bool = False
    reboot: str = ""
    stale: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    foreign: bool = False
    age: int | None = None
    upgrading: bool = False
    intent: Intent | None = None

    @property
    def due(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.upgrades or self.reboot or self.half or self.intent or self.upgrading)

    def intended(self, drained: bool) -> Intent:
        """What a run that begins now writes down; what a killed one left to be done in this boot goes on."""
        names, before = [each.name for each in self.upgrades], self.intent
        if before and before.boot in ("", self.boot):
            names = [*before.packages, *(name for name in names if name not in before.packages)]
        if before:
            return Intent(tuple(names), self.boot, before.drained, before.failed)
        return Intent(tuple(names), self.boot, drained, self.failed)


def survey(host: str, said: Mapping[str, Sequence[str]]) -> Survey:
    """From the sections that a host answered to commands.SURVEY."""
    lines = said.get("upgrade", ())
    held = {*said.get("held", ()), *(line.partition(":")[0] for line in said.get("held", ()))}
    patterns = [found[1].replace("\\\\", "\\") for found in map(_BLACKLIST.search, said.get("blacklist", ())) if found]
    sound = bool(lines) and lines[-1].strip() == "exit 0"
    errors = [line for line in lines if line.startswith("E: ")] or list(lines[-3:])
    times = [int(line) for line in said.get("lists", ()) if line.strip().isdigit()]
    return Survey(
        host=host,
        boot="".join(said.get("boot", ())).strip(),
        upgrades=tuple(upgrades(lines, held, patterns)),
        removed=tuple(line.split()[1] for line in lines if line.startswith("Remv ")),
        error="" if sound else "; ".join(errors) or "apt-get said nothing",
        half=bool(said.get("audit")),
        reboot=pending(said.get("reboot", ()), said.get("needrestart", ())),
        stale=tuple(stale(said.get("needrestart", ()))),
        failed=tuple(line.strip() for line in said.get("failed", ())),
        foreign=bool(said.get("policy")),
        age=times[1] - times[0] if len(times) > 1 else None,
        upgrading="running" in said.get("upgrading", ()),
        intent=Intent.load("".join(said.get("intent", ()))),
    )


def upgrades(lines: Iterable[str], held: set[str], patterns: Sequence[str]) -> list[Upgrade]:
    """The packages that a simulated upgrade would install. patterns: those that unattended upgrades leave alone."""
    found = []
    for line in lines:
        if each := _INST.match(line):
            name = each["name"].partition(":")[0]
            kept = name in held or any(re.match(pattern, name) for pattern in patterns)
            security = re.search(r"-security\b|Debian-Security", each["origin"]) is not None
            found.append(Upgrade(name, each["old"] or "", each["new"], security, kept))
    return found


def pending(asked: Sequence[str], needrestart: Sequence[str]) -> str:
    """Why a host has to be rebooted already; "" if it need not be."""
    if asked:
        by = ", ".join(line.strip() for line in asked[1:])
        return f"asked for by {by}" if by else "asked for (/run/reboot-required)"
    said = dict(line.partition(": ")[::2] for line in needrestart if line.startswith("NEEDRESTART-K"))
    if said.get("NEEDRESTART-KSTA", "").strip() in _OBSOLETE_KERNEL:
        return f"kernel {said.get('NEEDRESTART-KEXP', 'another').strip()} is installed and does not run"
    return ""


def stale(needrestart: Iterable[str]) -> list[str]:
    """The services that needrestart names."""
    return [line.partition(": ")[2].strip() for line in needrestart if line.startswith("NEEDRESTART-SVC: ")]


def needs_reboot(packages: Iterable[str], pending: str, stale: Iterable[str]) -> str:
    """Why a host has to be rebooted after its upgrade; "" where restarted services will do."""
    changed = [name for name in packages if _REBOOT.match(name)]
    core = [unit for unit in stale if re.match(r"(dbus|dbus-broker|systemd-logind)\.service$", unit)]
    if changed:
        return f"{', '.join(changed)} changed"
    return pending or (f"{', '.join(core)} cannot be restarted" if core else "")


def to_restart(owned: Iterable[str], stale: Iterable[str], always: Iterable[str] = ()) -> list[str]:
    """The services that are restarted once a host serves nobody: of upgraded packages, with files that are gone.

    What the engine starts is not among them, nor what the system cannot do without for a moment.
    """
    found = dict.fromkeys([*always, *owned, *stale])
    return [unit for unit in found if not _UNTOUCHABLE.match(unit)]


def result(said: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """How the upgrade's unit stands: {running, gone, failed}."""
    shown = dict(line.partition("=")[::2] for line in said.get("state", ()))
    state = shown.get("SubState", "")
    gone = shown.get("LoadState") == "not-found" or (state == "dead" and shown.get("Result") == "success")
    running = state in ("running", "start", "start-pre", "start-post", "stop", "stop-sigterm")
    return {"running": running, "gone": gone, "failed": not running and not gone and shown.get("Result") != "success"}
