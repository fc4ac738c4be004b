"""Asks each web server for its health, for the engine that cannot: nginx of Debian has passive checks only.

Asked as a client asks, with the service's name: two failures take a server out, two answers bring it back (as
HAProxy's `fall 2 rise 2`).
"""

import http.client
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import nginx, state
from .state import Config, HelperError, Layout, Server

CONNECT_SECONDS = 0.5
ANSWER_SECONDS = 2.0
FALL, RISE = 2, 2


@dataclass
class Health:
    """What was found of one server: whether it is in rotation, and how many answers in a row say otherwise."""

    up: bool = True
    against: int = 0

    def hear(self, well: bool) -> bool:
        """Take one answer in; whether the server changes its state."""
        self.against = 0 if well == self.up else self.against + 1
        if self.against < (FALL if self.up else RISE):
            return False
        self.up, self.against = well, 0
        return True


def well(server: Server, domain: str) -> bool:
    """Whether a server says that it can serve (GET /readyz answers 200)."""
    connection = http.client.HTTPConnection(server.address, server.port, timeout=CONNECT_SECONDS)
    try:
        connection.connect()
        connection.sock.settimeout(ANSWER_SECONDS)
        headers = {"Host": domain, "X-Forwarded-Proto": "https", "Connection": "close"}
        connection.request("GET", "/readyz", headers=headers)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tell(layout: Layout, config: Config, found: Mapping[str, Health]) -> None:
    """Put what was found into force."""
    with layout.guard():
        layout.health.parent.mkdir(exist_ok=True)
        state.write_durably(layout.health, json.dumps({name: health.up for name, health in found.items()}) + "\n")
        nginx.settle(layout, config, state.read(layout, config.servers))


def watch(layout: Layout) -> None:
    """Ask for ever. The configuration is read once: site.yml restarts the watch when it changes."""
    config = state.load(layout)
    found = {name: Health() for name in config.servers}
    pause = config.check_interval_ms / 1000
    tell(layout, config, found)
    with ThreadPoolExecutor(max_workers=max(len(found), 1)) as pool:
        while True:
            began = time.monotonic()
            answers = pool.map(lambda name: (name, well(config.servers[name], config.domain)), config.servers)
            changed = [name for name, fine in answers if found[name].hear(fine)]
            for name in changed:
                print(f"{name} is {'UP' if found[name].up else 'DOWN'}", flush=True)
            if changed:
                try:
                    tell(layout, config, found)
                except HelperError as error:
                    print(error.what, flush=True)
            time.sleep(max(0.0, began + pause - time.monotonic()))
