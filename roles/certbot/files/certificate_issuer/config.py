"""What site.yml tells this balancer, and where things lie."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class IssuerError(Exception):
    """Something that a person has to know; the message says what, where and what mends it."""


@dataclass(frozen=True)
class Peer:
    """A balancer: its name, address, and the port of its sshd; 0 for the host that this runs on."""

    name: str
    address: str
    ssh_port: int

    @property
    def is_here(self) -> bool:
        """Whether it is the host that this runs on."""
        return not self.ssh_port


@dataclass(frozen=True)
class Config:
    """name: this balancer's. issuer: whether it issues. names: of the certificate, the service's own first."""

    name: str
    issuer: bool
    directory: str
    key_type: str
    names: list[str]
    https_port: int
    metrics: Path
    ca_file: str = ""
    peers: list[Peer] = field(default_factory=list)

    @property
    def balancers(self) -> list[Peer]:
        """All balancers, this one first."""
        return [Peer(self.name, "127.0.0.1", 0), *self.peers]


@dataclass(frozen=True)
class Layout:
    """The files; tests put them below another root."""

    root: Path = Path("/")

    @property
    def config(self) -> Path:
        """What site.yml wrote."""
        return self.root / "etc/certificate-issuer/config.json"

    @property
    def key(self) -> Path:
        """The key that hands certificates on."""
        return self.root / "etc/certificate-issuer/key"

    @property
    def known_hosts(self) -> Path:
        """The other balancers' host keys."""
        return self.root / "etc/certificate-issuer/known_hosts"

    @property
    def letsencrypt(self) -> Path:
        """What certbot keeps."""
        return self.root / "etc/letsencrypt"

    @property
    def live(self) -> Path:
        """The certificate that was issued last."""
        return self.letsencrypt / "live/site"

    @property
    def lock(self) -> Path:
        """Held while certificates are handed on."""
        return self.root / "run/certificate-issuer.lock"


def load(layout: Layout) -> Config:
    """The configuration. IssuerError: there is none."""
    try:
        said: dict[str, Any] = json.loads(layout.config.read_text())
    except (OSError, ValueError) as error:
        raise IssuerError(f"{layout.config}: {error}; ansible-playbook site.yml --tags certbot writes it") from None
    peers = [Peer(**peer) for peer in said.pop("peers")]
    return Config(**{**said, "metrics": Path(said["metrics"]), "peers": peers})
