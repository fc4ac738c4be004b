"""What has to hold before anything is touched: asked of all hosts at once, and told all at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.errors import PreflightError
from deploy.inventory import Fleet
from deploy.release.facts import Certificate, HostFacts, ask_host, handshake
from deploy.release.migrations import told
from deploy.release.settings import Settings
from deploy.release.state import HostState

if TYPE_CHECKING:
    from deploy.release.artefact import Artefact
    from deploy.release.remote import Remote
    from deploy.release.session import Session
    from deploy.release.verify import Balancers

COPIES = 3  # of a release on a host while it is staged: as it was sent, unpacked, and room to unpack
LONG_SECONDS = 60  # a transaction this old may keep a migration from its locks for good
HERE = "this machine"
PLAN = "migrations"  # how the note begins that says what is to be migrated


@dataclass(frozen=True)
class Problem:
    """A condition that does not hold: what, where (a host, a balancer, a group), and the command that mends it."""

    what: str
    where: str
    mend: str

    def __str__(self) -> str:
        """As an error is told."""
        return f"{self.where}: {self.what}\n  mend: {self.mend}"


def problems(
    wanted: Settings,
    hosts: Sequence[HostFacts],
    certificates: Sequence[Certificate],
    python: str,
    database: Mapping[str, Any] | None,
    connections: int,
    pending: Sequence[str],
) -> list[Problem]:
    """Every condition that does not hold, hosts first. Pure.

    python: the version that the release is built for. database: the helper's answer, None before there is a
    release to ask with. connections: the most that the fleet may hold at once. pending: migrations to be applied.
    """
    found = [problem for facts in hosts for problem in _of_host(facts, wanted, python)]
    found += _of_clocks({facts.name: facts.ahead for facts in hosts if facts.said}, wanted)
    found += [problem for each in certificates for problem in _of_certificate(each, wanted)]
    return found + (_of_database(database, connections, pending) if database else [])


def notes(migrations: Mapping[str, Mapping[str, str]], database: Mapping[str, Any] | None) -> list[str]:
    """What a person should know although nothing is wrong: the plan of the migrations, and long transactions.

    migrations: a manifest's.
    """
    if database is None:
        return [f"{PLAN}: known once the first release is on a host"]
    pending = to_apply(migrations, database)
    # those that take something away are named, however many there are
    drastic = [name for name in pending if migrations[name]["class"] == "contract"]
    plan = [f"{name} (contract)" for name in drastic]
    if harmless := [name for name in pending if name not in drastic]:
        plan.append(f"{told(harmless)} (expand)")
    found = [f"{PLAN} to be applied: {', '.join(plan)}" if plan else f"{PLAN}: nothing new"]
    if not pending:
        found += [f"warning: {_transaction(each)}" for each in database["long"]]
    return found


def to_apply(migrations: Mapping[str, Any], database: Mapping[str, Any]) -> list[str]:
    """The migrations of a release that the database lacks, in the manifest's order."""
    return [name for name in migrations if name not in set(database["applied"])]


def refusal(found: Sequence[Problem]) -> PreflightError:
    """All problems as one error; there is at least one."""
    if len(found) == 1:
        return PreflightError(f"{found[0].what}; nothing was changed", found[0].where, found[0].mend)
    text = "\n".join(f"  {line}" for problem in found for line in str(problem).splitlines())
    return PreflightError(f"{len(found)} conditions do not hold, nothing was changed:\n{text}")


def check(
    session: Session,
    balancers: Balancers,
    settings: Settings,
    fleet: Fleet,
    artefact: Artefact,
    states: Sequence[HostState],
    database: Mapping[str, Any] | None,
    say: Callable[[str], None] | None = None,
) -> list[Problem]:
    """Ask all hosts and balancers at once; answers every condition that does not hold. `say` is told the notes.

    Takes no lock; where this run holds none, a lock of another run is a condition as well. A host that does not
    answer any more is a problem, never an exception; those that never did are the session's `missing`.
    """
    held = {state.name: state for state in states}
    port = int(fleet.value(fleet.need("loadbalancers")[0].name, "loadbalancer_https_port"))
    names = {host.address: host.name for host in fleet.group("loadbalancers")}

    def ask(remote: Remote) -> HostFacts:
        there = remote.name in held and artefact.release in held[remote.name].releases
        memory = int(fleet.value(remote.name, "booking_app_activation_megabytes")) * 1_000_000
        disk = settings.free_bytes + (0 if there else artefact.size * COPIES)
        return ask_host(remote, disk, memory, locked=bool(session.tokens))

    with ThreadPoolExecutor(max_workers=max(len(balancers.addresses), 1)) as pool:
        asked = [
            pool.submit(handshake, address, port, names.get(address, address), settings)
            for address in balancers.addresses
        ]
        hosts = list(session.each(session.hosts, ask).values())
        certificates = [each.result() for each in asked]
    migrations = artefact.manifest["migrations"]
    if say:
        for note in notes(migrations, database):
            say(note)
    return problems(
        settings, hosts, certificates, str(artefact.manifest["python"]), database,
        most_connections(fleet, states, settings), to_apply(migrations, database) if database else [],
    )  # fmt: skip


def most_connections(fleet: Fleet, states: Sequence[HostState], settings: Settings) -> int:
    """Database connections that all hosts may hold at once while a release is switched (count).

    On each web host the current, the new and, unless release_warm_minutes is 0, the warm activation have one a
    thread, and a management command has one more; a worker process has one, beside its successor's.
    """
    total = 0
    for state in states:
        if state.web:
            threads = int(fleet.value(state.name, "booking_app_web_workers")) * int(
                fleet.value(state.name, "booking_app_web_threads")
            )
            total += max(3 if settings.warm_seconds else 2, len(state.running) + 1) * threads + 1
        if state.processes:
            total += 2 * len(fleet.value(state.name, "booking_app_processes"))
    return total


def _of_host(facts: HostFacts, wanted: Settings, python: str) -> list[Problem]:
    converge = f"ansible-playbook -i inventories/{wanted.env} site.yml"
    if facts.said is None:
        mend = facts.mend or f"mend it, or leave it out: fab deploy --env {wanted.env} --without {facts.name}"
        return [Problem(facts.error, facts.name, mend)]
    said, name = facts.said, facts.name
    resolved = said["resolves"]
    checks = [
        (bool(facts.held), facts.held, facts.freed),
        (bool(said["settings_problem"]), said["settings_problem"], converge),
        (bool(said["credentials_missing"]), f"secrets are missing: {', '.join(said['credentials_missing'])}",
         f"fab secrets.init --env {wanted.env}, then: {converge}"),
        (python not in said["python"],
         f"the release is built for Python {python}; the host has {', '.join(said['python']) or 'none'}",
         f"set release_python_version, or converge the host: {converge}"),
        (said["free_bytes"] < facts.needs_bytes,
         f"{_size(said['free_bytes'])} are free on its disk, {_size(facts.needs_bytes)} are needed",
         "free some below /srv, keep fewer releases (release_keep), or enlarge the disk"),
        (said["available_bytes"] < facts.needs_memory,
         f"{_size(said['available_bytes'])} of memory are available, a new activation takes "
         f"{_size(facts.needs_memory)} (booking_app_activation_megabytes)",
         "fewer booking_app_web_workers, release_warm_minutes: 0, or more memory"),
        (bool(resolved["name"]) and not resolved["addresses"],
         f"it cannot resolve {resolved['name']}: {resolved['error'] or 'no address'}",
         f"correct the DNS record of {resolved['name']}, or the host's resolver"),
    ]  # fmt: skip
    return [Problem(what, name, mend) for bad, what, mend in checks if bad]


def _of_clocks(ahead: Mapping[str, float], wanted: Settings) -> list[Problem]:
    clocks = {HERE: 0.0, **ahead}
    first, last = min(clocks, key=lambda name: clocks[name]), max(clocks, key=lambda name: clocks[name])
    apart = clocks[last] - clocks[first]
    if apart <= wanted.clock_seconds:
        return []
    what = f"its clock is {apart:.1f} s ahead of that of {first}; {wanted.clock_seconds} s are allowed"
    mend = "timedatectl status on both; let the wrong one synchronise its time"
    return [Problem(f"{what} (release_clock_seconds)", last, mend)]


def _of_certificate(found: Certificate, wanted: Settings) -> list[Problem]:
    converge = f"ansible-playbook -i inventories/{wanted.env} site.yml"
    if found.invalid:
        mend = f"correct release_ca_file, or issue it anew: {converge}"
        return [Problem(f"its certificate is not valid: {found.invalid}", found.where, mend)]
    if found.error:
        return [Problem(found.error, found.where, converge)]
    if found.days >= wanted.certificate_days:
        return []
    ends = f"its certificate ends in {found.days:.1f} days, {wanted.certificate_days} are wanted"
    return [Problem(f"{ends} (release_certificate_days)", found.where, "there: sudo systemctl start certbot.service")]


def _of_database(said: Mapping[str, Any], connections: int, pending: Sequence[str]) -> list[Problem]:
    room = int(said["max_connections"]) - int(said["reserved"])
    found = []
    if connections > room:
        found.append(Problem(
            f"the hosts may hold {connections} connections while a release is switched; {room} are there "
            f"(max_connections {said['max_connections']}, {said['reserved']} of them reserved)", "the database",
            "raise postgresql_max_connections, or lower booking_app_web_workers, booking_app_web_threads or "
            "release_warm_minutes; then site.yml",
        ))  # fmt: skip
    for each in said["long"] if pending else ():
        if each["seconds"] > LONG_SECONDS:
            what = f"{_transaction(each)}, and {len(pending)} migration(s) may have to wait for its locks"
            mend = f"let it end, or on the database: SELECT pg_terminate_backend({each['pid']})"
            found.append(Problem(what, "the database", mend))
    return found


def _transaction(each: Mapping[str, Any]) -> str:
    return f"a transaction of {each['user']} (pid {each['pid']}, {each['state']}) is open for {each['seconds']:.0f} s"


def _size(count: float) -> str:
    return f"{count / 1e6:.0f} MB"
