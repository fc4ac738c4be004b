"""Who of the balancers issues the certificate, and what each serves."""

from __future__ import annotations

import json

from deploy.inventory import Fleet
from lab.errors import LabError
from tests.fleet.site import Site

RENEW = (
    "REQUESTS_CA_BUNDLE=/etc/letsencrypt/acme-ca.pem certbot renew --quiet --force-renewal --no-random-sleep-on-renew"
)


class Certificates:
    """Who issues, and what every balancer serves on its own port."""

    def __init__(self, site: Site, fleet: Fleet) -> None:
        self.site = site
        self.names = [each.name for each in fleet.need("loadbalancers")]
        self.issuer = str(fleet.value(self.names[0], "certbot_issuer") or self.names[0])
        self.others = [name for name in self.names if name != self.issuer]
        assert self.others, "a fleet with two load balancers is needed: make up SIZE=full"

    def served(self, name: str) -> str:
        """The serial that a balancer serves; "" where it serves none."""
        try:
            return str(json.loads(self.site.inside(name, "booking-edge", "certificate"))["serial"])
        except LabError:
            return ""

    def serials(self) -> set[str]:
        """What all balancers serve: one serial, when all is well."""
        return {self.served(name) for name in self.names}

    def renew(self) -> None:
        """Have the certificate issued anew, as certbot's timer would."""
        self.site.shell(self.issuer, RENEW)
