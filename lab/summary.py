"""What `up` ends with and `status` prints."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab import host
from lab.inventory import acme_roots
from lab.outside import describe
from lab.progress import Progress
from lab.state import ROOT, Lab
from lab.topology import DOMAIN


def hosts_table(lab: Lab) -> Table:
    """The hosts with addresses, groups and whether they run."""
    table = Table(box=None, pad_edge=False)
    for column in ("host", "IPv4", "IPv6", "groups", "state"):
        table.add_column(column)
    for each in lab.topology.hosts:
        groups = ", ".join(describe(lab) if each.is_outside else each.groups)
        table.add_row(each.name, each.ipv4, each.ipv6, groups, "runs" if host.is_running(lab, each) else "down")
    if lab.topology.floating:
        table.add_row("floating", *lab.topology.floating, "on one of the loadbalancers", "")
    return table


def curl(lab: Lab) -> str:
    """A command that calls the service the way a client does."""
    front = lab.topology.front[0]
    return f"curl --cacert {acme_roots(lab)} --resolve {DOMAIN}:443:{front} https://{DOMAIN}/api/v1/listings/"


def offers(lab: Lab) -> str:
    """What plays the rest of the world, and where hosts find it."""
    return ", ".join(f"{name} {address}" for name, address in describe(lab).items())


def print_status(lab: Lab) -> None:
    """The hosts and how to call them."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(hosts_table(lab))
    console.print(f"\noutside  {offers(lab)}\ncall it  {curl(lab)}")


def print_summary(lab: Lab, progress: Progress) -> None:
    """What was raised, how to use it, what to try next."""
    console = progress.console
    sudo = "sudo " if "SUDO_UID" in os.environ else ""
    own = lab.name == "lab"
    fab = f"{sudo}.venv/bin/fab"
    env, chosen = ("", "") if own else (f" --env {lab.name}", f" LAB={lab.name}")
    rows = [
        (f"{fab} status{env}", "what runs where"),
        (f"{fab} deploy{env}", "ship the present commit"),
        (f"{fab} rollback{env}", "back to the release before"),
        (f"{sudo}make ssh HOST={lab.topology.group('web')[0].name}{chosen}", "a shell on a host"),
        (f"{sudo}make test", "prove it all, on a fleet of its own"),
        (f"{sudo}make down{chosen}", "remove it all"),
    ]
    width = max(len(command) for command, _ in rows)
    console.print(f"\nThe fleet serves https://{DOMAIN}, {progress.total:.0f} s after the start.\n")
    console.print(hosts_table(lab))
    console.print(f"""
call it      {curl(lab)}
a browser    https://localhost:{lab.port}/api/docs/
             (its certificate is for {DOMAIN} and of a test authority: accept the warning)
outside      {offers(lab)}
next         {rows[0][0]:<{width}}  {rows[0][1]}""")
    for command, meaning in rows[1:]:
        console.print(f"             {command:<{width}}  {meaning}")
    console.print(f"logs         {_relative(progress.logs)}/")


def _relative(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


