"""nginx as a balancer: what is wanted becomes included files and a reload, which ends no request.

nginx of Debian neither asks its upstreams for their health nor takes commands, so `booking-edge watch` asks them, and
what it finds becomes such a file too.
"""

import http.client
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from . import units
from .state import Config, HelperError, Layout, Wanted, differs, write_changed, write_durably

SETTLE_SECONDS = 10
POLL_SECONDS = 0.02
# A place of its own on the loopback interface, where the workers tell which files they have read.
STATUS_ADDRESS, STATUS_PORT = "127.0.0.1", 8406
PID = "run/nginx.pid"
SITE = "etc/nginx/sites-enabled/loadbalancer"


def files(layout: Layout, config: Config, wanted: Wanted) -> dict[Path, str]:
    """What nginx includes at a start or reload, so that it does what is wanted."""
    down = wanted.drained | sick(layout, config)
    # The watch alone takes a server out (max_fails=0): of busy servers some are late, and nginx itself would leave
    # them out all together. One that refuses the connection costs the next one's time, no request.
    rows = [
        f"server {server.literal} max_fails=0{' down' if name in down else ''};\n"
        for name, server in config.servers.items()
    ]
    on = wanted.maintenance
    thumbprint = layout.account.read_text().split()[-1:] if layout.account.is_file() else []
    return {
        layout.nginx / "account.conf": f'default "{"".join(thumbprint)}";\n',
        layout.nginx / "upstream.conf": "".join(rows),
        layout.nginx / "maintenance.conf": f"default {on.retry_after if on else '0'};\n",
    }


def write(layout: Layout, config: Config, wanted: Wanted) -> bool:
    """Have nginx do what is wanted from its next start or reload on; whether anything is new."""
    layout.nginx.mkdir(exist_ok=True)
    changed = [write_changed(path, text) for path, text in files(layout, config, wanted).items()]
    if any(changed):
        renew_generation(layout)
    return any(changed)


def settle(layout: Layout, config: Config, wanted: Wanted) -> None:
    """Have it on disk first, then make the running nginx do it; one that does not run reads it when it starts.

    A worker tells what it has read. HelperError: they did not read it within SETTLE_SECONDS.
    """
    write(layout, config, wanted)
    if generation(layout) != asked():
        reload(layout)


def reload(layout: Layout) -> None:
    """Have nginx read everything anew, and return once no process takes requests that has not. HelperError."""
    if units.state(units.NGINX) not in units.RUNNING or not (layout.root / SITE).exists():
        return
    old, wanted, told = workers(layout), generation(layout), 0
    until = time.monotonic() + SETTLE_SECONDS
    # Workers that are to end do not take another connection; their title says so.
    while asked() != wanted or any(takes_requests(worker) for worker in old):
        # systemctl would have another nginx read the whole configuration, only to send this signal. One that has
        # started since may have read the files before they changed, and is told, too.
        if (process := master(layout)) not in (0, told):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGHUP)
            told = process
        elif time.monotonic() > until:
            raise HelperError("written down, but the running nginx did not take it: see journalctl -u nginx -t nginx")
        time.sleep(POLL_SECONDS)


def generation(layout: Layout) -> str:
    """The number of what is on disk."""
    path = layout.nginx / "generation.conf"
    return path.read_text().split('"')[1] if path.is_file() else "0"


def renew_generation(layout: Layout) -> None:
    """Have what is on disk bear a number that no worker tells yet."""
    write_durably(layout.nginx / "generation.conf", f'default "{int(generation(layout)) + 1}";\n')


def asked() -> str:
    """The number that a worker of the running nginx tells; empty where none answers."""
    connection = http.client.HTTPConnection(STATUS_ADDRESS, STATUS_PORT, timeout=2)
    try:
        connection.request("GET", "/generation", headers={"Connection": "close"})
        return connection.getresponse().read().decode().strip()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def workers(layout: Layout) -> list[int]:
    """The processes of the running nginx that serve."""
    process = master(layout)
    with suppress(OSError, ValueError):
        return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def master(layout: Layout) -> int:
    """The process of the running nginx that reads the configuration; 0 where none is ready for signals."""
    with suppress(OSError, ValueError):
        found = int((layout.root / PID).read_text())
        if Path(f"/proc/{found}/cmdline").read_bytes().startswith(b"nginx: master process"):
            return found
    return 0


def takes_requests(pid: int) -> bool:
    """Whether a worker is there and not about to end."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return b"nginx" in title and b"shutting down" not in title


def sick(layout: Layout, config: Config) -> frozenset[str]:
    """The servers that did not answer the watch. None while it has not asked."""
    with suppress(OSError, ValueError):
        found = json.loads(layout.health.read_text())
        return frozenset(name for name in config.servers if found.get(name) is False)
    return frozenset()


def states(layout: Layout, config: Config) -> dict[str, str]:
    """UP, DOWN or DRAIN of each server, as nginx has read it; none where it does not serve."""
    if not asked():
        return {}
    rows = [line.split() for line in (layout.nginx / "upstream.conf").read_text().splitlines()]
    down, ill = {row[1] for row in rows if row[-1] == "down;"}, sick(layout, config)
    return {
        name: "UP" if server.literal not in down else "DOWN" if name in ill else "DRAIN"
        for name, server in config.servers.items()
    }


def take(layout: Layout) -> None:
    """Have the running nginx serve the bundle that is on disk. HelperError: it did not."""
    renew_generation(layout)
    reload(layout)


def answers(layout: Layout, thumbprint: str) -> bool:
    """Whether challenges for this account are answered; what nginx includes follows the file."""
    return not differs(layout.account, f"thumbprint {thumbprint}\n")


def account(layout: Layout, config: Config, wanted: Wanted, thumbprint: str) -> bool:
    """Answer challenges for the ACME account with this thumbprint, now and after every start; whether it is new."""
    changed = write_changed(layout.account, f"thumbprint {thumbprint}\n")
    settle(layout, config, wanted)
    return changed
