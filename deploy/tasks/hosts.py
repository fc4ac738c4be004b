"""Work on single hosts, and everyday use: join, drain, maintenance, management commands, the journal."""

from __future__ import annotations

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from deploy import inventory
from deploy.errors import UsageError
from deploy.release.settings import default_environment
from deploy.tasks import operator, words
from deploy.tasks.guard import guarded

# What the engine needs takes long to import, so that each task that calls it does so itself.
ENV = "environment below inventories/; the default one of ansible.cfg unless given"
WAIT = "wait for another run's lock: 10 minutes, or a duration such as 90s"
HOST = "the host's name in the inventory"


@task(optional=["wait"], positional=["host"], help={"host": HOST, "env": ENV, "wait": WAIT})
@guarded
def join(_context: Context, host: str, env: str = "", wait: str = "") -> None:
    """Bring a host that was left out, lost or rebuilt to the release that serves, and back into rotation."""
    from deploy.release import engine, show

    print(show.summary(engine.join(env or default_environment(), host, wait=words.wait(wait))))


@task(positional=["host"], help={"host": HOST, "env": ENV})
@guarded
def drain(_context: Context, host: str, env: str = "") -> None:
    """Take a host out of rotation on every balancer; it stays out until it is undrained or joined."""
    from deploy.release import rotation

    rotation.drain(env or default_environment(), host)
    print(f"{host} gets no requests until: fab undrain {host}")


@task(positional=["host"], help={"host": HOST, "env": ENV})
@guarded
def undrain(_context: Context, host: str, env: str = "") -> None:
    """Put a drained host that serves the present release back into rotation; `fab join` is for any other."""
    from deploy.release import rotation

    rotation.undrain(env or default_environment(), host)
    print(f"{host} gets requests again")


@task(
    help={
        "on": "answer 503 with a plain page to everyone",
        "off": "let requests through again",
        "retry-after": "when clients may come again: a duration such as 5m",
        "env": ENV,
    }
)
@guarded
def maintenance(_context: Context, on: bool = False, off: bool = False, retry_after: str = "5m", env: str = "") -> None:
    """Close or open the service at the load balancers."""
    from deploy.release import rotation

    if on == off:
        raise UsageError("say which", "maintenance", "fab maintenance --on, or fab maintenance --off")
    rotation.maintenance(env or default_environment(), on, int(words.seconds(retry_after, "--retry-after")))
    print("every request is answered 503; to end it: fab maintenance --off" if on else "requests go through again")


@task(
    positional=["command"],
    help={"command": "the management command, quoted", "host": "where; the first web host unless given", "env": ENV},
)
@guarded
def manage(_context: Context, command: str, host: str = "", env: str = "") -> None:
    """Run a management command of the release that serves; ends with its exit code."""
    if code := operator.manage(inventory.load(env or default_environment()), command, host):
        raise Exit(code=code)


@task(
    help={
        "host": "one host; all that run the application unless given",
        "lines": "the last lines of each host",
        "follow": "go on until Ctrl-C",
        "since": "at most so old: a duration such as 10m",
        "env": ENV,
    }
)
@guarded
def logs(
    _context: Context, host: str = "", lines: str = "100", follow: bool = False, since: str = "", env: str = ""
) -> None:
    """Print the journal of the application's units, that of all hosts in one order of time."""
    fleet, age = inventory.load(env or default_environment()), words.seconds(since or "0", "--since")
    if code := operator.logs(fleet, host, lines=words.lines(lines), since=age, follow=follow):
        raise Exit(code=code)
