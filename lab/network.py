"""The sandbox's network on the machine: bridge, masquerading, and the door on localhost."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from lab import cgroups
from lab.errors import LabError
from lab.machine import succeeds
from lab.state import LABS, Lab, every
from lab.topology import SUBNETS, Topology, free_index

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
# What ip_forward was before the first sandbox came; the last one to go puts it back.
FORWARDING_BEFORE = LABS.parent / "ip_forward.before"
FIRST_PORT = 8443


def pick_index() -> int:
    """A subnet and bridge that nothing on this machine uses. Raises LabError when there is none."""
    addresses = json.loads(_ip("-j", "address"))
    routes = json.loads(_ip("-j", "-4", "route", "show", "table", "all"))
    networks = [f"{a['local']}/{a['prefixlen']}" for link in addresses for a in link["addr_info"] if "local" in a]
    networks += [row["dst"] for row in routes if row.get("dst", "default") != "default"]
    index = free_index(
        taken=[lab.index for lab in every()],
        networks=networks,
        interfaces=[link["ifname"] for link in addresses],
    )
    if index is None:
        raise LabError(
            f"no subnet is free: all {SUBNETS} of 10.89.0.0/24 to 10.89.{SUBNETS - 1}.0/24 are in use",
            where="ip route",
            mend="remove a sandbox (`make list`, then `make down LAB=…` in its checkout), or free a route",
        )
    return index


def pick_port(taken: set[int]) -> int:
    """The first port on localhost from FIRST_PORT on that nobody listens on and no sandbox has."""
    listening = _run("ss", "-Htln").split()
    ports = {part.rpartition(":")[2] for part in listening if ":" in part}
    return next(p for p in range(FIRST_PORT, 65535) if p not in taken and str(p) not in ports)


def raise_bridge(topology: Topology) -> None:
    """Create the bridge with the gateway's addresses, and let hosts reach what the machine reaches."""
    bridge = topology.bridge
    if not succeeds("ip", "link", "show", bridge):
        _ip("link", "add", bridge, "type", "bridge")
    # One that is given none has the lowest of its ports', and another whenever a host comes or goes: every neighbour
    # would answer to an address that is no more, some for five seconds.
    _ip("link", "set", bridge, "address", topology.gateway_mac)
    _ip("address", "replace", f"{topology.gateway4}/{topology.ipv4.prefixlen}", "dev", bridge)
    # Duplicate address detection would keep the address unusable for a second on an empty bridge.
    _ip("-6", "address", "replace", f"{topology.gateway6}/{topology.ipv6.prefixlen}", "dev", bridge, "nodad")
    _ip("link", "set", bridge, "up")
    if FORWARDING.read_text().strip() == "0":
        FORWARDING_BEFORE.write_text("0")
        FORWARDING.write_text("1")
    load_rules(masquerading(topology))
    for rule in forwarding(topology) if _drops_forwarded() else ():
        if not succeeds("iptables", "-C", *rule):
            _run("iptables", "-I", *rule)


def load_rules(script: str) -> None:
    """Load an nft script, all of it or nothing. LabError: nft refuses it."""
    _run("nft", "-f", "-", stdin=script)


def masquerading(topology: Topology) -> str:
    """An nft script that replaces the sandbox's own table."""
    table = f"ip {topology.bridge}"
    return f"""\
add table {table}
delete table {table}
table {table} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat
    ip saddr {topology.ipv4} ip daddr != {topology.ipv4} masquerade
  }}
}}
"""


def forwarding(topology: Topology) -> list[tuple[str, ...]]:
    """iptables rules (without -I, -C or -D) that let the bridge through a machine that drops what it
    forwards, as Docker makes one do."""
    comment = ("-m", "comment", "--comment", topology.bridge, "-j", "ACCEPT")
    return [("FORWARD", "-i", topology.bridge, *comment), ("FORWARD", "-o", topology.bridge, *comment)]


def open_door(lab: Lab, port: int) -> None:
    """Forward localhost:*port* to the balancer's HTTPS, for a browser on (or tunnelled to) this machine."""
    unit = lab.unit("door")
    if cgroups.processes(unit):
        return
    target = lab.topology.front[0]
    command = ["socat", f"TCP4-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"TCP4:{target}:443"]
    spawn(unit, command, lab.directory / "door.log")


def remove(topology: Topology) -> None:
    """Remove bridge, nft tables and iptables rules; what is not there is no error."""
    for family in ("ip", "bridge"):
        if succeeds("nft", "list", "table", family, topology.bridge):
            _run("nft", "delete", "table", family, topology.bridge)
    for rule in forwarding(topology) if shutil.which("iptables") else ():
        while succeeds("iptables", "-D", *rule):
            pass
    if succeeds("ip", "link", "show", topology.bridge):
        _ip("link", "delete", topology.bridge)


def restore_forwarding() -> None:
    """Put ip_forward back to what it was, once no sandbox is left."""
    if not every() and FORWARDING_BEFORE.exists():
        FORWARDING.write_text(FORWARDING_BEFORE.read_text())
        FORWARDING_BEFORE.unlink()


def spawn(unit: str, command: list[str], log: Path) -> None:
    """Start *command* in a control group of its own, detached from this process and its terminal."""
    hierarchy = cgroups.hierarchy()
    placement = cgroups.choose(systemd=cgroups.has_systemd(), hierarchy=hierarchy, unit=unit)
    for folder in placement.join:
        folder.mkdir(exist_ok=True)
    enter = "".join(f"echo $$ > {folder}/cgroup.procs; " for folder in placement.join)
    with log.open("a") as sink:
        subprocess.Popen(
            [*placement.prefix, "sh", "-c", f'{enter}exec "$@"', "sh", *command],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, cwd="/",
        )


def _drops_forwarded() -> bool:
    """Whether the machine's iptables drops forwarded packets by policy."""
    try:
        rules = _run("iptables", "-S", "FORWARD")
    except (LabError, FileNotFoundError):
        return False
    return rules.startswith("-P FORWARD DROP")


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str, stdin: str | None = None) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"`{' '.join(command)}`: {done.stderr.strip()}", where="network", mend="make down && make up")
    return done.stdout
