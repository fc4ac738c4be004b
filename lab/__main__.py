"""`python -m lab`: what `make up`, `make down` and their kin call."""

from __future__ import annotations

import argparse
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from deploy.errors import NexusError
from lab import faults, host, image, lifecycle
from lab.errors import LabError
from lab.progress import Progress, complain
from lab.state import ROOT, Lab, check_name, check_size, every, give_back, load
from lab.summary import print_status, print_summary
from lab.topology import SIZES, Host

Fault = Callable[[Lab, Host, argparse.Namespace], None]

# What can be done to a host, and undone: name -> (help, what does it).
FAULTS: dict[str, tuple[str, Fault]] = {
    "crash": ("end a host as a power cut would", lambda lab, target, _: host.crash(lab, target)),
    "start": ("boot a host that ended", lambda lab, target, _: _start(lab, target)),
    "cut": ("drop a host's traffic", lambda lab, target, asked: faults.cut(lab, target, ssh_only=asked.ssh)),
    "mend": ("end `cut`", lambda lab, target, _: faults.mend(lab, target)),
    "fill": ("leave a host no room for a release", lambda lab, target, _: faults.fill(lab, target)),
    "free": ("end `fill`", lambda lab, target, _: faults.free(lab, target)),
    "stop-service": ("stop a unit of a host", lambda lab, target, asked: faults.stop_service(lab, target, asked.unit)),
    "start-service": ("start it again", lambda lab, target, asked: faults.start_service(lab, target, asked.unit)),
}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line of `python -m lab`."""
    parser = argparse.ArgumentParser(prog="lab", description="The sandbox fleet.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    raise_ = verbs.add_parser("up", help="raise the fleet and deploy to it; run again, it completes")
    raise_.add_argument("--size", default=None, help=f"one of {', '.join(SIZES)}; small by default")
    raise_.add_argument("--bare", action="store_true", help="an image without the roles' packages")
    raise_.add_argument("--hosts-only", action="store_true", help="stop before anything is converged")
    verbs.add_parser("down", help="remove the fleet and everything it left on the machine")
    verbs.add_parser("status", help="the hosts, their addresses and whether they run")
    verbs.add_parser("list", help="every sandbox of this machine")
    verbs.add_parser("clean-images", help="remove cached images that no sandbox uses")
    shell = verbs.add_parser("ssh", help="a shell on a host, or a command there")
    shell.add_argument("host")
    shell.add_argument("command", nargs=argparse.REMAINDER)
    for fault, (help_, _) in FAULTS.items():
        verb = verbs.add_parser(fault, help=help_)
        verb.add_argument("host")
        if fault == "cut":
            verb.add_argument("--ssh", action="store_true", help="its ssh alone")
        elif fault.endswith("-service"):
            verb.add_argument("unit")
    parser.add_argument("--lab", default=os.environ.get("LAB") or "lab", help="its name (lab)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    """Carry out one command; returns its exit code."""
    name = check_name(options.lab)
    if options.verb == "up":
        progress = Progress(ROOT / "build/logs" / name)
        size = check_size(options.size) if options.size else None
        if options.hosts_only:
            lifecycle.hosts(name, size, baked=not options.bare, progress=progress)
            return 0
        lab = lifecycle.up(name, size, baked=not options.bare, progress=progress)
        print_summary(lab, progress)
    elif options.verb == "down":
        print(f"{name}: removed" if lifecycle.down(name) else f"{name}: there is no such sandbox; nothing to remove")
    elif options.verb == "list":
        for lab in every():
            print(f"{lab.name:<16} {lab.size:<6} {lab.topology.ipv4}  {lab.clone}")
    elif options.verb == "clean-images":
        print("\n".join(f"removed {each}" for each in image.clean()) or "no image to remove")
    elif options.verb == "status":
        print_status(_existing(name))
    elif options.verb in FAULTS:
        lab = _existing(name)
        FAULTS[options.verb][1](lab, _host(lab, options.host), options)
    else:
        lab = _existing(name)
        return _ssh(lab, options.host, options.command)
    return 0


def _start(lab: Lab, target: Host) -> None:
    host.start(lab, target)
    host.wait(lab, (target,))


def _existing(name: str) -> Lab:
    lab = load(name)
    if lab is None:
        raise LabError(f"there is no sandbox {name!r}", mend="make up")
    return lab


def _host(lab: Lab, name: str) -> Host:
    for each in lab.topology.hosts:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in lab.topology.hosts)
    raise LabError(f"there is no host {name!r}; hosts are: {names}", mend=f"make ssh HOST={lab.topology.hosts[0].name}",
                   code=2)


def _ssh(lab: Lab, name: str, command: list[str]) -> int:
    target = _host(lab, name)
    user = "root" if target.is_outside else "ops"
    os.execvp("ssh", [  # noqa: S606 - this process becomes ssh, so that the terminal is its own
        "ssh", "-i", str(lab.key), "-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "LogLevel=ERROR",
        f"{user}@{target.ipv4}", *command,
    ])


STOPPED = threading.Event()


def _stop(*_: object) -> None:
    STOPPED.set()
    raise KeyboardInterrupt


def main() -> int:
    """Run, and end every failure with one message and its code."""
    os.chdir(ROOT)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # phases are seen as they end, in a log as on a screen
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    try:
        return run(parse(sys.argv[1:]))
    except (NexusError, KeyboardInterrupt, OSError, subprocess.SubprocessError) as error:
        # Ctrl-C reaches the programs that were started as well, and one that it ended looks like a failure.
        if STOPPED.is_set():
            print("\ninterrupted: the same command goes on from here, `make down` removes it all", file=sys.stderr)
            return 130
        known = error if isinstance(error, NexusError) else LabError(
            str(error), mend="mend that, then run the same command again"
        )
        complain(known)
        return int(known.code)
    finally:
        give_back(ROOT / "build")


if __name__ == "__main__":
    sys.exit(main())
