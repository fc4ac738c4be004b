"""Faults, made from outside a host and taken back the same way: cut off, a full disk, a stopped service."""

from __future__ import annotations

import subprocess

from lab import cgroups, host, network
from lab.errors import LabError
from lab.machine import succeeds
from lab.state import Lab
from lab.topology import Host

# Where a release arrives. The hosts' disks are the machine's own, so a full one is made of a small file system
# of its own at the place that grows.
INCOMING = "/srv/booking/incoming"
INCOMING_KIB = 64
WHOLE, SSH = "cut", "silent"


def rules(bridge: str) -> str:
    """An nft script that makes the table in which hosts are cut off, or leaves it with the hosts that it has.

    Hosts of one sandbox reach each other by the bridge alone, past every rule for routed packets: hence a table
    of the bridge family. Two sets of interfaces: all traffic of the one is dropped, and TCP port 22 of the other.
    """
    table = f"bridge {bridge}"
    hooks = {
        "from": ("prerouting", -300, "iifname", "sport"),
        "to": ("postrouting", 300, "oifname", "dport"),
    }
    lines = [f"add table {table}", *(f"add set {table} {name} {{ type ifname; }}" for name in (WHOLE, SSH))]
    for chain, (hook, priority, side, port) in hooks.items():
        lines += [
            f"add chain {table} {chain} {{ type filter hook {hook} priority {priority}; }}",
            f"flush chain {table} {chain}",
            f"add rule {table} {chain} {side} @{WHOLE} drop",
            f"add rule {table} {chain} {side} @{SSH} tcp {port} 22 drop",
        ]
    return "\n".join(lines) + "\n"


def cut(lab: Lab, target: Host, *, ssh_only: bool = False) -> None:
    """Drop everything that *target* sends and is sent (IPv4 and IPv6), or its ssh alone. Twice is no error."""
    network.load_rules(rules(lab.topology.bridge) + _element("add", lab, target, SSH if ssh_only else WHOLE))


def mend(lab: Lab, target: Host) -> None:
    """Let *target* be reached again. One that was not cut off is no error."""
    # `delete` refuses what is not there; added first, it is.
    elements = [_element(verb, lab, target, name) for name in (WHOLE, SSH) for verb in ("add", "delete")]
    network.load_rules(rules(lab.topology.bridge) + "".join(elements))


def fill(lab: Lab, target: Host) -> None:
    """Leave *target* no room for a new release. Twice is no error; a reboot ends it."""
    if not _is_full(lab, target):
        inside(lab, target, "mount", "-t", "tmpfs", "-o", f"size={INCOMING_KIB}k,mode=0700", "full", INCOMING)


def free(lab: Lab, target: Host) -> None:
    """Give *target* its room back. One that has it is no error."""
    while _is_full(lab, target):
        inside(lab, target, "umount", INCOMING)


def stop_service(lab: Lab, target: Host, unit: str) -> None:
    """Stop a systemd unit of *target* (a pattern stops every unit that it matches)."""
    inside(lab, target, "systemctl", "stop", unit)


def start_service(lab: Lab, target: Host, unit: str) -> None:
    """Start a systemd unit of *target*."""
    inside(lab, target, "systemctl", "start", unit)


def inside(lab: Lab, target: Host, *command: str) -> str:
    """Run *command* as root in the namespaces of *target*, past its network; answers what it printed.

    LabError: the host does not run, or the command failed.
    """
    done = subprocess.run(_enter(lab, target, *command), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(
            f"`{' '.join(command)}`: {done.stderr.strip() or f'ended with {done.returncode}'}",
            where=target.name, mend=f"make ssh HOST={target.name}",
        )
    return done.stdout


def _is_full(lab: Lab, target: Host) -> bool:
    return succeeds(*_enter(lab, target, "mountpoint", "--quiet", INCOMING))


def _enter(lab: Lab, target: Host, *command: str) -> list[str]:
    pid = cgroups.host_init(lab.unit(target))
    if pid is None:
        raise LabError("the host is not running", where=target.name, mend=f"python -m lab start {target.name}")
    return ["nsenter", f"--target={pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--", *command]


def _element(verb: str, lab: Lab, target: Host, name: str) -> str:
    return f'{verb} element bridge {lab.topology.bridge} {name} {{ "vb-{host.machine_name(lab, target)}" }}\n'
