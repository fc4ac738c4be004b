"""The canary: the first host alone has the new release for a while, and its traffic decides."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from deploy.release import canary
from deploy.release.canary import Outcome, Traffic
from deploy.release.lease import Lease

LOOKS = 10  # in one trial: what is bad from the start does not go on to its end
SHORTEST_LOOK_SECONDS = 2.0
# Processes that have just started connect and fill their caches with their first requests: failures count from the
# start, times do not.
WARM_UP = 0.2  # of the trial
LONGEST_WARM_UP_SECONDS = 20.0


class CanaryError(Exception):
    """The first host did worse than the others, or nobody can tell."""


@dataclass(frozen=True)
class Trial:
    """How long the first host is watched (seconds), and the share of requests (0 to 1) that it may fail above others.

    traffic: since an instant (seconds since the epoch), what each balancer saw of each web host. hosts: the web
    hosts that take part, the first one among them.
    """

    seconds: float
    budget: float
    hosts: Sequence[str]
    traffic: Callable[[float], Mapping[str, Sequence[Traffic]]]
    lease: Lease

    def watch(self, first: str) -> str:
        """Wait and judge; answers what was seen. CanaryError: it is bad, or cannot be judged. LostLockError."""
        since, until = time.time(), time.monotonic() + self.seconds
        look = max(self.seconds / LOOKS, SHORTEST_LOOK_SECONDS)
        while True:
            left = until - time.monotonic()
            if self.lease.lost.wait(min(look, max(left, 0))):
                self.lease.check()
            verdict = canary.judge(*self._seen(first, since), self.budget)
            over = time.monotonic() >= until
            if over and verdict.outcome is Outcome.GOOD:
                pace = canary.pace(*self._seen(first, since + min(self.seconds * WARM_UP, LONGEST_WARM_UP_SECONDS)))
                verdict = pace if pace.outcome is Outcome.BAD else verdict
            if verdict.outcome is Outcome.BAD or (over and verdict.outcome is Outcome.UNKNOWN):
                raise CanaryError(f"the canary on {first}: {verdict.why}")
            if over:
                return verdict.why

    def _seen(self, first: str, since: float) -> tuple[Traffic, Traffic]:
        """What clients got since an instant (seconds since the epoch): of the first host, and of all others."""
        seen = self.traffic(since)
        others = [part for host in self.hosts if host != first for part in seen.get(host, ())]
        return canary.combined(seen.get(first, ())), canary.combined(others)
