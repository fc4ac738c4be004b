"""Pure: the state of the hosts and a release in, ordered steps out. Nothing here touches a host."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from deploy.release.state import HostState, newest, release_of

COOL_SECONDS = 1  # what a rollback left ends by the host's own timer: nobody waits for its last requests


class Action(Enum):
    """What a step does. The value is what people read."""

    BEGIN = "write down what begins"
    DRAIN = "drain what is left out"
    STAGE = "stage"
    MIGRATE = "migrate"
    START = "start"
    SWAP = "swap"
    VERIFY = "verify through the balancer"
    CANARY = "watch the first host"
    MEASURE = "look at the measurement"
    UNDRAIN = "back behind the balancer"
    RETIRE = "end the old"
    CLEAR = "back to no release"
    RECORD = "record"
    PRUNE = "prune"


@dataclass(frozen=True)
class Step:
    """One step, done on all its hosts at once; the next begins when all are done.

    argument: the release to stage, migrate, start or verify. activations: by host, a running activation to start
    the rest of, to switch to (where there is none: what this run started), or to keep warm. seconds: how long
    what is kept warm stays up.
    """

    action: Action
    hosts: tuple[str, ...]
    argument: str = ""
    activations: Mapping[str, str] = field(default_factory=dict, hash=False)
    seconds: int = 0

    @property
    def title(self) -> str:
        """What people read: the action, and the host where it is one of several."""
        one = self.action is Action.SWAP and len(self.hosts) == 1
        return f"{self.action.value} {self.hosts[0]}" if one else self.action.value


def deploy(
    states: Sequence[HostState],
    release: str,
    *,
    canary: bool = False,
    without: Collection[str] = (),
    migrate: bool = True,
    warm: int = 0,
) -> list[Step]:
    """The steps that bring a release to every host.

    It is staged everywhere, migrated once, started everywhere, and only then switched to, host by host, each
    proven through the balancer before the next. without: web hosts that are left out. warm: seconds that what
    served before stays up.
    """
    hosts = names(states)
    lacking = tuple(state.name for state in states if release not in state.releases)
    return [
        *_begin(hosts, release, without),
        *([Step(Action.STAGE, lacking, release)] if lacking else []),
        *([Step(Action.MIGRATE, hosts[:1], release)] if migrate else []),
        Step(Action.START, hosts, release),
        *_turns(states, release, canary),
        *_end(states, release, _kept(states, release), warm),
        Step(Action.PRUNE, hosts),
    ]


def restart(states: Sequence[HostState], release: str, *, warm: int = 0) -> list[Step]:
    """The steps that replace the running processes of the current release by new ones, host by host."""
    hosts = names(states)
    return [
        *_begin(hosts, release, ()),
        Step(Action.START, hosts, release),
        *_turns(states, release, canary=False),
        *_end(states, release, _kept(states, release), warm),
    ]


def rollback(
    states: Sequence[HostState], release: str, *, without: Collection[str] = (), blind: bool = False
) -> list[Step]:
    """The steps that bring back an older release, which every host still holds: one switch, everywhere at once.

    What is warm is switched to before its worker processes are there: what the newer ones put into the queues
    meanwhile, they also understand. What is not warm is started first.
    blind: nobody can ask the database. What may hold its last connections ends before the proof, which waits for it.
    """
    hosts = names(states)
    warm = {state.name: activation for state in states if (activation := state.warm_of(release))}
    cold = tuple(host for host in hosts if host not in warm)
    left = {
        state.name: str(state.activation) for state in states if state.web and state.serving() not in (None, release)
    }
    retire, record = _end(states, release, left, COOL_SECONDS)
    work, proof = _work(states, release, warm), _proof(states, release)
    return [
        *_begin(hosts, release, without),
        *([Step(Action.START, cold, release)] if cold else []),
        Step(Action.SWAP, hosts, "", warm),
        *([retire, *work, *proof] if blind else [*work, *proof, retire]),
        record,
    ]


def join(state: HostState, release: str, everyone: Sequence[str], previous: str | None = None) -> list[Step]:
    """The steps that bring one drained host to the release that the others serve, and traffic back to it.

    everyone: all hosts that can be reached, whose ledgers it is written to. previous: the release that a rollback
    would go to; the host must hold it as well, or it would stand in the way of one.
    """
    one = (state.name,)
    there = state.current == release == state.serving() and not state.stale
    missing = [wanted for wanted in (release, previous) if wanted and wanted not in state.releases]
    return [
        Step(Action.BEGIN, tuple(everyone), release),
        *(Step(Action.STAGE, one, wanted) for wanted in missing),
        *([] if there else [Step(Action.START, one, release), Step(Action.SWAP, one)]),
        *_rejoin([state], release),
        Step(Action.RETIRE, one),
        Step(Action.RECORD, tuple(everyone)),
    ]


def finish(states: Sequence[HostState], release: str, action: str, *, warm: int = 0) -> list[Step]:
    """The steps that end what a killed run had all but done: every host serves the release already."""
    proof = _rejoin(states, release) if action == "join" else _proof(states, release, measured=False)
    back, web = action == "rollback", {state.name: str(state.activation) for state in states if state.web}
    work = _work(states, release, web) if back else []  # a rollback switches first
    return [*work, *proof, *_end(states, release, _kept(states, release), COOL_SECONDS if back else warm)]


def restore(now: HostState, home: str | None, *, failed: str = "", was: str | None = None, warm: int = 0) -> list[Step]:
    """The steps that put one host back on its home release; of everything else at most one stays, warm.

    failed: the release that this run brought; it does not stay. was: the activation that served before.
    """
    hosts = (now.name,)
    if home is None:
        return [Step(Action.CLEAR, hosts)]
    keep = newest(name for name in now.warm if release_of(name) not in (home, failed)) if warm else ""
    end = Step(Action.RETIRE, hosts, "", {now.name: keep}, warm) if keep else Step(Action.RETIRE, hosts)
    alive = [activation for activation in now.running if release_of(activation) == home]
    goal = was if was in alive else now.activation if now.activation in alive else newest(alive)
    if now.current == home and goal and goal == now.activation:
        return [end]
    if not goal:
        return [*_anew(hosts, home), end]
    back = {now.name: goal}
    # its worker processes may have ended already: they are there again before the host is switched
    again = [Step(Action.START, hosts, home, back)] if now.web and now.processes else []
    return [*again, Step(Action.SWAP, hosts, "", back), end]


def restart_home(now: HostState, home: str) -> list[Step]:
    """The steps that put a host back where what ran before cannot be used any more."""
    return [*_anew((now.name,), home), Step(Action.RETIRE, (now.name,))]


def steps_of(states: Sequence[HostState], release: str, older: str = "") -> dict[str, list[Step]]:
    """Every kind of plan there is, by what a person calls it: for tests that must not forget a step.

    release: what is brought. older: what a rollback goes to; the same unless given.
    """
    first, everyone = states[0], names(states)
    return {
        "deploy": deploy(states, release, warm=1),
        "canary": deploy(states, release, canary=True, warm=1),
        "deploy without a host": deploy(states[1:], release, without=everyone[:1], warm=1),
        "restart": restart(states, str(first.current), warm=1),
        "rollback": rollback(states, older or release),
        "join": join(first, release, everyone),
    }


def names(states: Iterable[HostState]) -> tuple[str, ...]:
    """The hosts' names."""
    return tuple(state.name for state in states)


def _begin(hosts: tuple[str, ...], release: str, without: Collection[str]) -> list[Step]:
    return [Step(Action.BEGIN, hosts, release), *([Step(Action.DRAIN, tuple(without))] if without else [])]


def _turns(states: Sequence[HostState], release: str, canary: bool) -> list[Step]:
    """Host by host what the balancers ask, each proven; the rest, whom nobody asks, at once; the proof of all."""
    steps: list[Step] = []
    for host in (state.name for state in states if state.asked):
        steps += [Step(Action.SWAP, (host,)), Step(Action.VERIFY, (host,), release)]
        if canary:
            steps.append(Step(Action.CANARY, (host,), release))
            canary = False
    rest = tuple(state.name for state in states if not state.asked)
    if rest:
        return [*steps, Step(Action.SWAP, rest), *_proof(states, release)]
    return [*(steps[:-1] if steps[-1].action is Action.VERIFY else steps), *_proof(states, release)]


def _proof(states: Sequence[HostState], release: str, *, measured: bool = True) -> list[Step]:
    asked = tuple(state.name for state in states if state.asked)
    measure = [Step(Action.MEASURE, asked)] if measured else []
    return [Step(Action.VERIFY, asked, release), *measure] if asked else []


def _work(states: Sequence[HostState], release: str, beside: Mapping[str, str]) -> list[Step]:
    """The worker processes of activations (by host) whose web server is there already."""
    found = {state.name: beside[state.name] for state in states if state.processes and state.name in beside}
    return [Step(Action.START, tuple(found), release, found)] if found else []


def _rejoin(states: Sequence[HostState], release: str) -> list[Step]:
    web = tuple(state.name for state in states if state.web)
    return [Step(Action.UNDRAIN, web), Step(Action.VERIFY, web, release)] if web else []


def _end(states: Sequence[HostState], release: str, kept: Mapping[str, str], warm: int) -> list[Step]:
    """End the old, then write down that it is done: a run killed in between is finished by the next."""
    hosts = names(states)
    stays = kept if warm else {}
    return [Step(Action.RETIRE, hosts, "", stays, warm if stays else 0), Step(Action.RECORD, hosts, release)]


def _kept(states: Sequence[HostState], release: str) -> dict[str, str]:
    """What stays warm on each web host: what serves, unless it is the release itself; else what is warm already."""
    found = {
        state.name: next(
            (name for name in (state.usable(), newest(state.warm)) if name and release_of(name) != release), ""
        )
        for state in states
        if state.web
    }
    return {host: activation for host, activation in found.items() if activation}


def _anew(hosts: tuple[str, ...], home: str) -> list[Step]:
    return [Step(Action.START, hosts, home), Step(Action.SWAP, hosts)]
