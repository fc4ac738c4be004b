"""The two engines behind one set of acts."""

from pathlib import Path
from typing import Protocol

from . import haproxy, nginx
from .state import Config, HelperError, Layout, Wanted


class Engine(Protocol):
    """What a balancer's engine can be told."""

    def files(self, layout: Layout, config: Config, wanted: Wanted) -> dict[Path, str]:
        """What it reads at a start or reload, so that it does what is wanted."""

    def write(self, layout: Layout, config: Config, wanted: Wanted) -> bool:
        """Have it do what is wanted from its next start or reload on; whether anything is new."""

    def settle(self, layout: Layout, config: Config, wanted: Wanted) -> None:
        """Have it on disk first, then make the running one do what is wanted. HelperError: it did not."""

    def states(self, layout: Layout, config: Config) -> dict[str, str]:
        """What the running one says of each server, such as UP, DOWN or DRAIN; none where it does not run."""

    def take(self, layout: Layout) -> None:
        """Have the running one serve the bundle that is on disk. HelperError: it did not."""

    def answers(self, layout: Layout, thumbprint: str) -> bool:
        """Whether challenges for the ACME account with this thumbprint are answered."""

    def account(self, layout: Layout, config: Config, wanted: Wanted, thumbprint: str) -> bool:
        """Answer challenges for the ACME account with this thumbprint; whether it is new."""


ENGINES: dict[str, Engine] = {"haproxy": haproxy, "nginx": nginx}


def of(config: Config) -> Engine:
    """The engine that this balancer is to have. HelperError: there is no such engine."""
    try:
        return ENGINES[config.engine]
    except KeyError:
        raise HelperError(f"no engine {config.engine!r} (there are: {', '.join(ENGINES)})") from None
