"""The balancers of a sandbox, whose engine one variable changes while clients come."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import yaml

from deploy.inventory import Fleet
from lab.state import Lab
from tests.fleet.edges import Knocking, doors

Tool = Callable[..., subprocess.CompletedProcess[str]]


class Balancers:
    """The balancers of the sandbox, whose engine one variable changes."""

    def __init__(self, lab: Lab, fleet: Fleet, env: str, tool: Tool) -> None:
        first = fleet.need("loadbalancers")[0].name
        self.env, self.engine, self.tool = env, str(fleet.value(first, "loadbalancer_engine")), tool
        self.names = [host.name for host in fleet.need("loadbalancers")]
        self.variable = lab.inventory / "group_vars/all/90-engine.yml"
        # The last balancer has the modern profile meanwhile: what one balancer may differ in, it may while it serves.
        self.modern = lab.inventory / "host_vars" / self.names[-1] / "90-modern.yml"
        self.doors = doors(fleet)
        self.changes: dict[str, Knocking] = {}

    def become(self, engine: str) -> None:
        """Change the engine, while clients make new connections to the first balancer."""
        if engine == self.engine and self.modern.exists():
            return
        self.modern.parent.mkdir(parents=True, exist_ok=True)
        self.modern.write_text(yaml.safe_dump({"loadbalancer_tls_profile": "modern"}))
        with Knocking([self.doors[self.names[0]]]) as clients:
            self.converge(loadbalancer_engine=engine)
            clients.wait_for(50)
        self.engine, self.changes[engine] = engine, clients

    def converge(self, **variables: object) -> str:
        """One site.yml of the balancers with these variables; what it said."""
        self.variable.write_text(yaml.safe_dump(variables))
        done = self.tool(
            "ansible-playbook", "-i", f"inventories/{self.env}", "site.yml", "--limit", "localhost,loadbalancers",
            "--tags", "loadbalancer,certbot",
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
