"""`certificate-issuer`: what site.yml, certbot's hook, units and people ask."""

import json
import sys
from collections.abc import Callable, Sequence

from . import acme, metrics, peers
from .config import Config, IssuerError, Layout, load


def account(layout: Layout, config: Config) -> str:
    """{"thumbprint", "registered"} of the account, which is registered if there is none."""
    found, registered = acme.account(layout, config)
    return json.dumps({"thumbprint": found, "registered": registered})


def would_register(layout: Layout, config: Config) -> str:
    """The same of the account that there is; "registered" says that there is none yet, whose thumbprint is empty."""
    key = acme.account_key(layout, config)
    found = acme.thumbprint(json.loads(key.read_text())) if key else ""
    return json.dumps({"thumbprint": found, "registered": key is None})


def would_issue(layout: Layout, config: Config) -> str:
    """Whether `issue` would change anything."""
    behind = acme.wanted(layout, config) or peers.behind(config, acme.leaf(layout))
    return "changed" if behind else "unchanged"


def issue(layout: Layout, config: Config) -> str:
    """Issue what is missing or not as configured, and have every balancer serve it; "changed" or "unchanged"."""
    why = acme.wanted(layout, config)
    if why:
        acme.issue(config, why)
    handed = _reconcile(layout, config)
    return "changed" if why or handed else "unchanged"


def reconcile(layout: Layout, config: Config) -> str:
    """Bring every balancer to the certificate that was issued; it does nothing where all serve it."""
    handed = _reconcile(layout, config)
    return f"handed to {', '.join(handed)}" if handed else "every balancer serves the certificate"


def metric(_: Layout, config: Config) -> str:
    """Write this balancer's metrics."""
    if not config.issuer:
        metrics.forget(config.metrics)
    if not metrics.own(config.metrics):
        raise IssuerError("this balancer serves no certificate: booking-edge certificate tells why")
    return "written"


def _reconcile(layout: Layout, config: Config) -> list[str]:
    handed, faults = peers.reconcile(layout, config)
    metrics.compared(config.metrics, {peer.name: peer.name not in faults for peer in config.balancers})
    if faults:
        told = "\n".join(f"  {name}: {fault}" for name, fault in faults.items())
        raise IssuerError(
            f"not every balancer serves the certificate that was issued:\n{told}\n"
            "it is tried again by certificate-issuer.timer; at once by: certificate-issuer reconcile"
        )
    return handed


ISSUER: dict[str, Callable[[Layout, Config], str]] = {
    "account": account, "issue": issue, "hand-on": reconcile, "reconcile": reconcile,
}  # fmt: skip
EVERYWHERE: dict[str, Callable[[Layout, Config], str]] = {"metric": metric}
CHECKS: dict[str, Callable[[Layout, Config], str]] = {"account": would_register, "issue": would_issue}
USAGE = (
    f"usage: certificate-issuer {'|'.join((*ISSUER, *EVERYWHERE))}; "
    "--check before account or issue only tells what it would change"
)


def main(argv: Sequence[str], layout: Layout | None = None) -> int:
    """Do one act; the exit status: 0 done, 1 failed, 2 a wrong argument."""
    layout = layout or Layout()
    checking = list(argv[:1]) == ["--check"]
    argv = argv[1:] if checking else argv
    acts = CHECKS if checking else {**ISSUER, **EVERYWHERE}
    if len(argv) != 1 or argv[0] not in acts:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        config = load(layout)
        if argv[0] in ISSUER and not config.issuer:
            raise IssuerError("another balancer issues: certbot_issuer in the inventory, else the first of the group")
        print(acts[argv[0]](layout, config))
    except (IssuerError, OSError) as error:
        print(f"certificate-issuer: {error}", file=sys.stderr)
        return 1
    return 0
