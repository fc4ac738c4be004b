"""The command line: one act a call, every argument validated, one line of JSON as answer."""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from . import engines, state
from .state import Config, HelperError, Layout, Maintenance, Wanted
from .traffic import traffic

RETRY_SECONDS = 120
LONGEST_RETRY = 7 * 86400


def status(layout: Layout) -> dict[str, Any]:
    """What is wanted, and what the running engine says of each server."""
    config = state.load(layout)
    wanted = state.read(layout, config.servers)
    on = wanted.maintenance
    return {
        "engine": config.engine,
        "drained": sorted(wanted.drained),
        "maintenance": {
            "on": on is not None, "retry_after": on.retry_after if on else 0, "since": on.since if on else None,
        },
        "servers": engines.of(config).states(layout, config),
    }  # fmt: skip


def drain(layout: Layout, host: str, drained: bool) -> dict[str, Any]:
    """Send a host no new request, or requests again. HelperError: no such host, or it is the last."""
    with layout.guard():
        config = state.load(layout)
        wanted = state.read(layout, config.servers)
        if host not in config.servers:
            known = ", ".join(config.servers) or "none"
            raise HelperError(f"no web server {host!r} behind this balancer (there are: {known})", code=2)
        after = wanted.drained | {host} if drained else wanted.drained - {host}
        if drained and not config.servers.keys() - after:
            raise HelperError(f"{host} is the last web server in rotation; switch maintenance on instead")
        return settle(layout, config, wanted._replace(drained=after))


def maintain(layout: Layout, on: bool, retry_after: int) -> dict[str, Any]:
    """Answer every request but those for the service's health by 503, or no longer. `since` stays when it is on."""
    with layout.guard():
        config = state.load(layout)
        wanted = state.read(layout, config.servers)
        since = wanted.maintenance.since if wanted.maintenance else int(time.time())
        return settle(layout, config, wanted._replace(maintenance=Maintenance(retry_after, since) if on else None))


def settle(layout: Layout, config: Config, wanted: Wanted) -> dict[str, Any]:
    """Put what is wanted on disk first, then into the running engine: ended in between, a reload completes it."""
    state.write(layout, wanted)
    engines.of(config).settle(layout, config, wanted)
    return status(layout)


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as this program reports everything: as JSON."""

    def error(self, message: str) -> Any:
        """Turn argparse's message into a HelperError (2)."""
        raise HelperError(message, code=2)


def seconds(text: str) -> int:
    """A number of seconds that clients can be told to wait."""
    value = int(text)
    if not 1 <= value <= LONGEST_RETRY:
        raise ValueError
    return value


def epoch(text: str) -> float:
    """A Unix time."""
    value = float(text)
    if not (math.isfinite(value) and 0 <= value < 1e11):
        raise ValueError
    return value


ACTS: dict[str, Callable[[Layout, argparse.Namespace], dict[str, Any]]] = {
    "status": lambda layout, _: status(layout),
    "drain": lambda layout, args: drain(layout, args.host, True),
    "undrain": lambda layout, args: drain(layout, args.host, False),
    "maintenance": lambda layout, args: maintain(layout, args.switch == "on", args.retry_after),
    "traffic": lambda layout, args: traffic(state.load(layout).servers, args.since, args.until),
}


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = Parser(prog="booking-balancer", description=__doc__, allow_abbrev=False)
    found = top.add_subparsers(dest="act", required=True, metavar="ACT")
    acts = {name: found.add_parser(name, allow_abbrev=False) for name in ACTS}
    for name in ("drain", "undrain"):
        acts[name].add_argument("host")
    acts["maintenance"].add_argument("switch", choices=("on", "off"))
    acts["maintenance"].add_argument("--retry-after", type=seconds, default=RETRY_SECONDS)
    acts["traffic"].add_argument("--since", type=epoch, required=True)
    acts["traffic"].add_argument("--until", type=epoch)
    return top


def main(argv: Sequence[str], layout: Layout | None = None) -> int:
    """Do one act. Prints {"…": …}, or {"error": {what, unit, journal}}; returns the exit status."""
    try:
        args = parser().parse_args(argv)
        answer, code = ACTS[args.act](layout or Layout(), args), 0
    except HelperError as error:
        answer, code = {"error": {"what": error.what, "unit": "", "journal": ()}}, error.code
    except Exception as error:  # a traceback helps nobody on the other side of the connection
        answer, code = {"error": {"what": f"{type(error).__name__}: {error}", "unit": "", "journal": ()}}, 1
    print(json.dumps(answer))
    return code
