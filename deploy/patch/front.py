"""The load balancers while one of them, or a web server behind them, is worked on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from deploy.errors import NoValueError
from deploy.inventory import Fleet
from deploy.patch import commands, plan
from deploy.patch.hosts import Operated
from deploy.patch.plan import Turn
from deploy.release.remote import HostError
from deploy.release.run import Run
from deploy.release.verify import Balancers, tag

SERVICE_SECONDS = 120.0  # until the service answers again after what it needs was restarted
MOVE_SECONDS = 20.0
ASKED_TIMES = 5  # in a row, after a floating address moved
POLL_SECONDS = 0.2


def floating(fleet: Fleet) -> list[str]:
    """The addresses that move between the balancers; none where there is no pair."""
    try:
        return [str(each).partition("/")[0] for each in fleet.value(fleet.need("loadbalancers")[0].name, plan.FLOATING)]
    except NoValueError:
        return []


class Front:
    """The edge of a run: who is in rotation, and whether clients are answered."""

    def __init__(self, run: Run, floats: Sequence[str]) -> None:
        self.run, self.floating = run, list(floats)
        # clients come by the floating addresses: a balancer whose address has moved may be away
        self.addresses = self.floating or list(run.balancers.addresses)
        self.clients = Balancers(self.addresses, run.settings, run.balancers.port)

    def spare(self, turn: Turn, web: Sequence[str]) -> None:
        """HostError unless another web server serves."""
        standing = self.run.edge.status().values()
        drained = {host for each in standing for host in each.drained}
        if not plan.others(turn, web, drained, [each.servers for each in standing]):
            raise HostError(turn.host, "no other web server is up and in rotation", "fab status")

    def drain(self, host: str) -> None:
        """Take a web server out of rotation on every balancer. HostsError: one did not."""
        self.run.edge.drain(host)

    def shows(self, host: str, release: str) -> None:
        """Wait until a web host answers with the release through every balancer. VerifyError."""
        self.run.balancers.shows(release, {host: tag(host)}, everywhere=False)

    def answers(self, who: str) -> None:
        """Wait until the service is ready at each address that clients come by. HostError: it is not."""
        self._until(who, lambda: all(self.clients.ask(each).status == 200 for each in self.addresses),
                    "the service is not ready through the balancer")  # fmt: skip

    def ready(self) -> bool:
        """Whether the service is ready at each address that clients come by."""
        return all(self.clients.ask(each).status == 200 for each in self.addresses)

    def move(self, host: Operated) -> None:
        """Have another balancer take the floating addresses. HostError: none does, and this one has them again."""
        own, unit = host.host.address, commands.KEEPALIVED
        if not any(self.run.balancers.ask(each).status == 200 for each in self.run.balancers.addresses if each != own):
            raise HostError(host.name, "no other load balancer shows the service", "fab status")
        host.act(commands.switch("stop", unit), what=f"{unit} could not be stopped", unit=unit)
        try:
            self._row(host.name, "the floating address is not answered by another balancer", MOVE_SECONDS)
        except BaseException:
            host.act(commands.switch("start", unit), what=f"{unit} could not be started again", unit=unit)
            raise

    def back(self, host: Operated, address: str) -> None:
        """Let a balancer that answers at its own address have the floating ones again. HostError."""
        own = Balancers([address], self.run.settings, self.run.balancers.port)
        self._until(host.name, lambda: own.ask(address).status == 200, "this balancer does not show the service")
        unit = commands.KEEPALIVED
        host.act(commands.switch("start", unit), what=f"{unit} could not be started", unit=unit)
        self._row(host.name, "the floating address is not answered")

    def _row(self, host: str, what: str, seconds: float = 0) -> None:
        row = 0

        def steady() -> bool:
            nonlocal row
            row = row + 1 if self.ready() else 0
            return row >= ASKED_TIMES

        self._until(host, steady, what, seconds)

    def _until(self, host: str, check: Callable[[], object], what: str, seconds: float = 0) -> None:
        seconds = seconds or SERVICE_SECONDS
        until = time.monotonic() + seconds
        while not check():
            if time.monotonic() > until:
                raise HostError(host, f"{what} within {seconds:.0f} s", "fab status; journalctl on that host")
            time.sleep(POLL_SECONDS)
