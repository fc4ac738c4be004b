"""Role loadbalancer: what both engines of a load balancer share."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.provision import operations

REFRESH, SUCCEED = "booking-edge refresh", "booking-edge succeed"
QUESTIONS = {
    REFRESH: ["booking-edge", "--check", "refresh"],
    SUCCEED: ["booking-edge", "--check", "succeed"],
}


@deploy("loadbalancer")
def loadbalancer() -> None:
    """As roles/loadbalancer has it."""
    operations.packages(name="Packages are installed", role="loadbalancer")
    operations.files(
        name="The helpers, the deploy account's one privilege, pages and what is known of this balancer are in place",
        role="loadbalancer",
    )
    # Before the engine reads its configuration, which names these files.
    operations.act(
        name="A certificate is there, and what the engine reads is written as the configuration has it",
        words=["booking-edge", "refresh"], question=REFRESH,
    )  # fmt: skip


def succeed() -> None:
    """The engine that the balancer is no longer to have has ended."""
    operations.act(name="The other engine has ended", words=["booking-edge", "succeed"], question=SUCCEED)
