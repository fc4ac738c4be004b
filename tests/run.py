"""`make check`, `make test`, `make soak`, `make bench`: the parts of the test run, each timed against its budget."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
LAB = os.environ.get("TEST_LAB", "lab-test")
BENCH_LAB = os.environ.get("TEST_LAB", "lab-bench")
WIDE_LAB = f"{BENCH_LAB}wide"

FLEET = "-m lab "
# What the whole run may take on 2 cores; the parts' own budgets leave each some room within it. A machine of a
# pipeline is somebody else's too, and first makes what this one has cached.
TOTAL_MINUTES = 47.0
PATIENCE = 1.9 if os.environ.get("CI") else 1.0

Command = Sequence[str]


@dataclass
class Part:
    """One part of the run. *minutes* is its budget on 2 cores; *together* commands share nothing and run two at a
    time, the longest first."""

    name: str
    minutes: float
    commands: list[Command]
    together: bool = False
    seconds: float = 0.0
    busy: float = 0.0  # of what the machine's processors could have done meanwhile, the share that they did
    failed: list[str] = field(default_factory=list)


def tool(name: str, *arguments: str) -> Command:
    """A command of the project's own tools."""
    return (str(TOOLS / name), *arguments)


def pytest(*arguments: str) -> Command:
    return tool("python", "-m", "pytest", "-q", *arguments)


def lint() -> list[Command]:
    """Style, types and syntax of everything that has a checker."""
    shell = [str(path.relative_to(ROOT)) for path in scripts("sh", "bash")]
    python = [str(path.relative_to(ROOT)) for path in scripts("python3")]
    return [
        # The default inventory is a sandbox's, which need not exist where only the fast checks run.
        ("env", "ANSIBLE_INVENTORY=inventories/production", *tool("ansible-lint", "--offline", "-q")),
        tool("mypy", "deploy", "lab", "plugins", "tests/run.py", "tests/programs.py", "tests/bench"),
        tool("ruff", "check", "."),
        tool("ruff", "check", *python),
        tool("yamllint", "--strict", "."),
        tool("shellcheck", "--severity=style", *shell),
    ]


def scripts(*interpreters: str) -> list[Path]:
    """The tracked files without an ending whose first line names one of *interpreters*."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    found = []
    for name in tracked.stdout.split("\0"):
        path = ROOT / name
        if not name or path.suffix or path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as handle:
            first = handle.readline(80).decode(errors="replace")
        words = first[2:].split() if first.startswith("#!") else []
        program = words[1] if words[:1] == ["/usr/bin/env"] else words[0] if words else ""
        if Path(program).name in interpreters:
            found.append(path)
    return found


def check() -> list[Part]:
    # Of the application what decides whether a release can be built: how its migrations declare themselves.
    migrations = (str(ROOT / "app/run-tests"), "-q", "tests/test_migrations.py", "tests/test_guide.py")
    fast = [pytest("tests/unit", "tests/contracts", "tests/templates"), migrations, *lint()]
    return [Part("lint, types, unit and contracts", 6, fast, together=True)]


def everything(*, soak: bool) -> list[Part]:
    """The whole run, on one sandbox that has two of everything that there can be two of."""
    env = ("--env", LAB)
    counts = ("--soak",) if soak else ()
    of_service = ("env", "BOOKING_SOAK=1") if soak else ()

    def of(*modules: str) -> list[Command]:
        return [pytest(*(f"tests/fleet/test_{module}.py" for module in modules), *env, *counts)]

    return [
        Part("programs that the tests need", 1, [tool("python", "-m", "tests.programs")]),
        Part("application with unit and contracts", 7, [
            (*of_service, str(ROOT / "app/run-tests")),
            pytest("tests/unit", "tests/contracts", "tests/templates", "tests/alerts"), *lint(),
        ], together=True),
        Part("image and fleet, converged twice", 13, [
            tool("python", "-m", "lab", "--lab", LAB, "down"),
            tool("python", "-m", "lab", "--lab", LAB, "up", "--size", "full"),
            *of("converge"),
            pytest("tests/roles", *env),
        ]),
        # Comes first: it needs a fleet that has had one release.
        Part("release: deploys, rollbacks, Ctrl-C", 6, of("release", "booking")),
        Part("release: broken ones", 7, of("engine_broken")),
        Part("release: lock", 5, of("engine_lock")),
        Part("release: broken off at every step", 8, of("engine_kills")),
        Part("release: migrations and controls", 7, of("engine_migrations", "engine_controls")),
        Part("release: balancers", 5, of("engine_balancer")),
        Part("service: payments, mail, a browser", 5, of("service", "service_payments", "service_mails", "browser")),
        Part("edge: both engines", 14, of("balancers", "reloads", "abuse", "retries", "failover", "tls")),
        Part("edge: a pair and its certificate", 7, of("pair", "certificates")),
        Part("edge: firewall, ports, world outside", 7, of("ports", "firewall", "outside")),
        Part("both engines", 10, of("provision", "two_fleets")),
        Part("hardening", 4, of("hardening")),
        Part("faults", 3, of("faults")),
        *(nightly(of) if soak else []),
    ]


def nightly(of: Callable[..., list[Command]]) -> list[Part]:
    """What the nightly run alone has the time for."""
    return [
        Part("release: ways back, canary, outage", 12, of("engine_back", "engine_canary")),
        Part("service: its image", 5, [pytest("tests/image")]),
        Part("secrets", 30, of("secrets", "rotation")),
        Part("packages", 20, of("patch")),
        Part("sandbox", 6, of("sandbox")),
    ]


def bench() -> list[Part]:
    """The figures, on a fleet of its own, with nothing else at work on the machine."""
    return [
        Part("fleet", 8, [
            tool("python", "-m", "lab", "--lab", BENCH_LAB, "down"),
            tool("python", "-m", "lab", "--lab", BENCH_LAB, "up", "--size", "small"),
        ]),
        Part("bench", 25, [
            tool("python", "-m", "tests.bench", "--env", BENCH_LAB),
            tool("python", "-m", "lab", "--lab", BENCH_LAB, "down"),
        ]),
        Part("bench of convergence", 20, [
            tool("python", "-m", "lab", "--lab", WIDE_LAB, "down"),
            tool("python", "-m", "lab", "--lab", WIDE_LAB, "up", "--size", "wide", "--hosts-only"),
            tool("python", "-m", "tests.bench", "--env", WIDE_LAB, "--only", "convergence"),
            tool("python", "-m", "lab", "--lab", WIDE_LAB, "down"),
        ]),
    ]


def run(parts: list[Part], *, clean_up: Callable[[], None], budgets: bool = True) -> int:
    """Run all parts, also after one has failed; print the times; 0 when all passed, within their *budgets* if asked."""
    try:
        for part in parts:
            started, (worked, idle) = time.monotonic(), processors()
            if part.together:
                with ThreadPoolExecutor(max_workers=2) as pool:
                    list(pool.map(partial(_one, part), part.commands))
            else:
                all(_one(part, command) for command in part.commands)
            part.seconds = time.monotonic() - started
            worked, idle = (now - before for now, before in zip(processors(), (worked, idle), strict=True))
            part.busy = worked / max(worked + idle, 1)
            if any(FLEET in command for command in part.failed):
                print("\nthe fleet did not rise: what needs it is not run", file=sys.stderr)
                break
    finally:
        clean_up()
    return report(parts, budgets=budgets)


def processors() -> tuple[int, int]:
    """For how long (in the kernel's ticks) the processors have worked, and idled or waited for disks (proc(5))."""
    user, nice, system, idle, waiting, *others = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    return user + nice + system + sum(others[:3]), idle + waiting


def report(parts: list[Part], *, budgets: bool) -> int:
    """Print each part's time against its budget; 1 when one failed or (with *budgets*) was late, else 0."""
    print("\npart                                     minutes   budget   busy")
    late = [part for part in parts if budgets and part.seconds > part.minutes * 60 * PATIENCE]
    for part in parts:
        verdict = "FAILED" if part.failed else "OVER BUDGET" if part in late else "ok"
        print(f"{part.name:<40} {part.seconds / 60:>7.1f}  {part.minutes:>7.1f}  {part.busy:>4.0%}   {verdict}")
    total = sum(part.seconds for part in parts) / 60
    slow = budgets and total > TOTAL_MINUTES * PATIENCE
    print(f"{'total':<40} {total:>7.1f}  {TOTAL_MINUTES:>7.1f}         {'OVER BUDGET' if slow else 'ok'}")
    for part in parts:
        for command in part.failed:
            print(f"failed: {command}")
    return 1 if late or slow or any(part.failed for part in parts) else 0


def _one(part: Part, command: Command) -> bool:
    """Run one command of a part; whether the part goes on."""
    shown = " ".join(word.removeprefix(f"{TOOLS}/").removeprefix(f"{ROOT}/") for word in command)
    title = f"\n— {part.name}: {shown[:160]}"
    if part.together:
        # What runs beside something else is shown when it has ended, so that the two do not mix.
        done = subprocess.run(
            command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )
        code = done.returncode
        print(f"{title}\n{done.stdout.rstrip()}", flush=True)
    else:
        print(title, flush=True)
        code = subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode
    if code:
        part.failed.append(f"{shown[:160]} (exit {code})")
    # What follows a fleet that did not rise, or did not go, would only fail in its turn.
    return code == 0 or FLEET not in shown


def remove_fleet(*labs: str) -> None:
    """Take the run's sandboxes away, whatever state they are in."""
    for lab in labs:
        if "KEEP" in os.environ:
            print(f"\nkept: sandbox {lab}; make down LAB={lab}")
        else:
            subprocess.run(tool("python", "-m", "lab", "--lab", lab, "down"), cwd=ROOT, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.run", description=__doc__)
    parser.add_argument("depth", choices=["check", "test", "soak", "bench"])
    depth = parser.parse_args().depth

    def interrupted(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    with suppress(KeyboardInterrupt):
        if depth == "check":
            return run(check(), clean_up=lambda: None)
        if depth == "bench":
            return run(bench(), clean_up=partial(remove_fleet, BENCH_LAB, WIDE_LAB), budgets=False)
        soak = depth == "soak"
        return run(everything(soak=soak), clean_up=partial(remove_fleet, LAB), budgets=not soak)
    print("\ninterrupted", file=sys.stderr)
    return 130


if __name__ == "__main__":
    sys.exit(main())
