"""The balancers of a sandbox, whose engine one variable changes while clients come."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace

import yaml

from deploy.inventory import Fleet
from lab.state import Lab
from tests.fleet.edges import Door, Knocking, doors
from tests.fleet.load import Load

Tool = Callable[..., subprocess.CompletedProcess[str]]


RATE = 10  # requests a second while the engine changes
TAGS = ("--tags", "loadbalancer,certbot", "--limit", "localhost,loadbalancers")


@dataclass(frozen=True)
class Change:
    """What clients met while the engine changed: new connections to every address of both families, and requests by
    the address that people use."""

    clients: Knocking
    load: Load


class Balancers:
    """The balancers of the sandbox, whose engine one variable changes, by site.yml in *whole* or the part of them."""

    def __init__(self, lab: Lab, fleet: Fleet, env: str, tool: Tool, *, whole: bool = False) -> None:
        first = fleet.need("loadbalancers")[0].name
        self.env, self.engine, self.tool = env, str(fleet.value(first, "loadbalancer_engine")), tool
        self.fleet, self.part = fleet, () if whole else TAGS
        self.names = [host.name for host in fleet.need("loadbalancers")]
        self.variable = lab.inventory / "group_vars/all/90-engine.yml"
        # The last balancer has the modern profile meanwhile: what one balancer may differ in, it may while it serves.
        self.modern = lab.inventory / "host_vars" / self.names[-1] / "90-modern.yml"
        self.doors = doors(fleet)
        self.changes: dict[str, Change] = {}

    def become(self, engine: str) -> None:
        """Change the engine, while clients come to every balancer."""
        if engine == self.engine and (self.modern.exists() or len(self.names) == 1):
            return
        if len(self.names) > 1:
            self.modern.parent.mkdir(parents=True, exist_ok=True)
            self.modern.write_text(yaml.safe_dump({"loadbalancer_tls_profile": "modern"}))
        with Knocking(self.every_door()) as clients, Load(self.fleet, RATE, keyed=True, reuse=False) as load:
            self.converge(loadbalancer_engine=engine)
            clients.wait_for(50)
            load.settle()
        self.engine, self.changes[engine] = engine, Change(clients, load)

    def every_door(self) -> list[Door]:
        """Every address that clients can come by: each balancer's own and the floating ones, of both families."""
        own = [*self.doors.values(), *doors(self.fleet, ipv6=True).values()]
        floating = self.fleet.value(self.names[0], "loadbalancer_floating_addresses")
        return [*own, *(replace(own[0], address=str(each)) for each in floating)]

    def converge(self, **variables: object) -> str:
        """One site.yml of the balancers with these variables; what it said."""
        self.variable.write_text(yaml.safe_dump(variables))
        done = self.tool(
            "ansible-playbook", "-i", f"inventories/{self.env}", "site.yml", *self.part, timeout=1800,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        return done.stdout

    def restore(self) -> None:
        """What the sandbox had before, its engine too; nothing where nothing was changed."""
        if not self.variable.exists():
            return
        self.modern.unlink(missing_ok=True)
        self.converge()
        self.variable.unlink(missing_ok=True)
