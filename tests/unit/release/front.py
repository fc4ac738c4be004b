"""Stand-ins for what is in front of the hosts: balancers with their helpers, and the probe."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.release.balancer import Standing
from deploy.release.canary import Traffic
from deploy.release.probe import Measurement
from deploy.release.remote import HostError
from deploy.release.session import HostsError
from deploy.release.settings import Settings, Target
from deploy.release.verify import Answer, VerifyError, tag

from .fleet import FakeHost, Fault

GOOD = Measurement(100, 0, 0, 10.0, 20.0, 50.0, 20.0)


def _balancer(fault: Fault, act: str) -> None:
    try:
        fault("lb1", act)
    except HostError as error:
        raise HostsError([error]) from None


class FakeEdge:
    """The balancers' own helpers."""

    drained_hosts: set[str] = set()  # noqa: RUF012 - one fleet a test, reset by its fixture
    seen: dict[str, list[Traffic]] = {}  # noqa: RUF012 - likewise

    def __init__(self, targets: list[Target], settings: Settings) -> None:
        self.log: list[str] = []

    def connect(self) -> None:
        """It is there."""

    def close(self) -> None:
        """Nothing is open."""

    def status(self) -> dict[str, Standing]:
        """One balancer."""
        _balancer(FakeHost.faults, "status")
        return {"lb1": Standing(frozenset(FakeEdge.drained_hosts), False, 0, None, {})}

    def drain(self, host: str) -> None:
        """Leave a host out."""
        _balancer(FakeHost.faults, "drain")
        FakeEdge.drained_hosts.add(host)
        _balancer(FakeHost.after, "drain")

    def undrain(self, host: str) -> None:
        """Take it in again."""
        _balancer(FakeHost.faults, "undrain")
        FakeEdge.drained_hosts.discard(host)
        _balancer(FakeHost.after, "undrain")

    def traffic(self, since: float, until: float | None = None) -> Mapping[str, list[Traffic]]:
        """What was set before."""
        return FakeEdge.seen


class FakeBalancers:
    """A balancer in front of the fake hosts."""

    def __init__(self, addresses: list[str], settings: Settings, port: int = 443) -> None:
        self.addresses, self.port = addresses, port

    def preflight(self) -> None:
        """It is there."""

    def ask(self, address: str) -> Answer:
        """By what the first web host serves."""
        first = next(host for host in FakeHost.known.values() if host.web)
        return Answer(200, first.current or "")

    def shows(
        self, release: str, hosts: Mapping[str, str], everywhere: bool, *, most: float = 0, red: bool = False
    ) -> None:
        """Look at the hosts."""
        FakeHost.faults("balancer", "shows")
        if FakeHost.away and not red:
            raise VerifyError("503")
        assert all(hosts[name] == tag(name) for name in hosts)
        asked = {name: host for name, host in FakeHost.known.items() if host.web and name not in FakeEdge.drained_hosts}
        found = {name: host.current if host.serves() else None for name, host in asked.items()}
        wrong = {name for name in hosts if found.get(name) != release}
        if wrong or (everywhere and set(found) - set(hosts)):
            raise VerifyError(f"the balancer shows {found}, not {release}")


class FakeProbe:
    """Says what was set before."""

    says: Measurement = GOOD
    going: int = 0  # those that nobody has stopped

    def __init__(self, addresses: list[str], settings: Settings, *, port: int = 443) -> None:
        self.marked = ""

    def start(self) -> None:
        """It goes."""
        FakeProbe.going += 1

    def mark(self, release: str) -> None:
        """Remember it."""
        self.marked = release

    def stop(self) -> Measurement:
        """The figures."""
        FakeProbe.going -= 1
        return FakeProbe.says
