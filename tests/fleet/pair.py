"""Two load balancers with addresses between them: who has them, and who could take them."""

from __future__ import annotations

import json
import re

from deploy.inventory import Fleet
from lab.errors import LabError
from tests.fleet.site import Site


class Pair:
    """Who of the balancers has the floating addresses, and whether the other could take them."""

    def __init__(self, site: Site, fleet: Fleet) -> None:
        self.site = site
        self.names = [each.name for each in fleet.need("loadbalancers")]
        self.floating = [str(each) for each in fleet.value(self.names[0], "loadbalancer_floating_addresses")]
        assert len(self.names) > 1, "a fleet with two load balancers is needed: make up SIZE=full"

    def has(self, name: str, address: str) -> bool:
        """Whether a host has an address; one that is down has none."""
        try:
            said = self.site.inside(name, "ip", "-json", "address", "show", "to", address)
        except LabError:
            return False
        return any(link.get("addr_info") for link in json.loads(said))

    def holders(self) -> list[tuple[str, ...]]:
        """Of each floating address, who has it."""
        return [tuple(name for name in self.names if self.has(name, each)) for each in self.floating]

    def holder(self) -> str:
        """Who has them all, once one alone has."""
        Site.wait(lambda: len(set(self.holders())) == 1 and len(self.holders()[0]) == 1, "one holder of all addresses")
        return self.holders()[0][0]

    def other(self, name: str) -> str:
        """A balancer that is not *name*."""
        return next(each for each in self.names if each != name)

    def said(self, name: str) -> str:
        """What a host's keepalived writes of itself; "" where it does not run."""
        script = (
            # 0, of one that does not run, would be this very process group.
            "pid=$(systemctl show --property MainPID --value keepalived); [ \"$pid\" -gt 0 ] || exit; "
            "said=/proc/$pid/root/tmp/keepalived.data; rm -f $said; kill -USR1 \"$pid\"; "
            "timeout 3 sh -c \"until grep -qi 'effective priority' $said 2>/dev/null; do sleep 0.05; done\"; cat $said"
        )
        try:
            return self.site.shell(name, script)
        except LabError:
            return ""

    def priority(self, name: str) -> int:
        """The priority that a host's keepalived goes by now; 0 where it does not say."""
        found = re.search(r"[Ee]ffective [Pp]riority = (\d+)", self.said(name))
        return int(found[1]) if found else 0

    def goes_by_its_check(self, name: str) -> bool:
        """Whether a host's keepalived asks its balancer."""
        said = self.said(name)
        return not said or "Tracked scripts" in said

    def ready(self) -> str:
        """Wait until one has the addresses and every other could take them; the one."""
        Site.wait(lambda: all(self.priority(name) == 150 for name in self.names), "every balancer in good health")
        return self.holder()
