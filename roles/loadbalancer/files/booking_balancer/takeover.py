"""One engine takes the ports over from the other while both listen on them (SO_REUSEPORT): no request is lost."""

import time
from collections.abc import Callable

from . import nginx, units
from .state import Config, HelperError, Layout

SECONDS = 20
POLL_SECONDS = 0.05


def succeed(layout: Layout, config: Config) -> bool:
    """End the engine that this balancer is no longer to have, once the other one serves; whether there was one.

    HelperError: the one that is to serve does not.
    """
    return to_haproxy(layout) if config.engine == "haproxy" else to_nginx()


def outlived(layout: Layout, config: Config) -> bool:
    """Whether there is an engine to be ended that this balancer is no longer to have."""
    if config.engine == "nginx":
        return lives(units.HAPROXY)
    return lives(units.WATCH) or (layout.root / nginx.SITE).exists() or (not sites(layout) and lives(units.NGINX))


def sites(layout: Layout) -> list[str]:
    """What nginx serves beside the site of the balancer."""
    folder = (layout.root / nginx.SITE).parent
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
    return [name for name in names if name != (layout.root / nginx.SITE).name]


def lives(unit: str) -> bool:
    """Whether a unit runs, or would at the next boot."""
    return units.show(unit, "UnitFileState") == "enabled" or units.state(unit) in units.RUNNING


def to_haproxy(layout: Layout) -> bool:
    """nginx gives the site of the balancer up; where it has no other, it ends."""
    if units.state(units.HAPROXY) not in units.RUNNING:
        raise HelperError("HAProxy does not run, so nginx goes on: see journalctl -u haproxy")
    changed = forget_watch()
    site = layout.root / nginx.SITE
    if site.exists():
        site.unlink()
        changed = True
    if sites(layout):
        if changed and units.state(units.NGINX) in units.RUNNING:
            old = nginx.workers(layout)
            units.control("reload", units.NGINX)
            wait(lambda: not any(nginx.takes_requests(worker) for worker in old), "nginx's end of the balancer's site")
        return changed
    return end(units.NGINX) or changed


def to_nginx() -> bool:
    """HAProxy ends."""
    wait(lambda: bool(nginx.asked()), "nginx's answer as this balancer")
    return end(units.HAPROXY)


def forget_watch() -> bool:
    """End the watch that nginx alone needs; whether there was one."""
    return end(units.WATCH)


def end(unit: str) -> bool:
    """Have a unit end now and not come back at a boot; what it has in hand it brings to its end meanwhile."""
    if units.show(unit, "LoadState") != "loaded":
        return False
    changed = units.show(unit, "UnitFileState") == "enabled"
    if changed:
        units.control("disable", "--quiet", unit)
    if units.state(unit) in units.RUNNING:
        units.control("stop", "--no-block", unit)
        return True
    return changed


def wait(check: Callable[[], bool], what: str) -> None:
    """Wait on a condition. HelperError: it did not come."""
    until = time.monotonic() + SECONDS
    while not check():
        if time.monotonic() > until:
            raise HelperError(f"{what} did not come within {SECONDS} s: see journalctl -u nginx -u haproxy")
        time.sleep(POLL_SECONDS)
