"""The command line: one act a call, every argument validated, one line of JSON as answer."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any, NamedTuple

from . import activations, database, facts, lock, migrations, records, session, settling, store, switch, systemd
from .layout import HelperError, Layout, activation_id, release_id, release_of

LONGEST_INPUT = 1 << 20
LONGEST_SECONDS = 86400


def json_argument(text: str) -> dict[str, Any]:
    """A JSON object from the command line."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise HelperError(f"not JSON: {error}", code=2) from None
    if not isinstance(value, dict):
        raise HelperError("not a JSON object", code=2)
    return value


def whole_seconds(text: str) -> int:
    """A number of seconds, from 0 to a day."""
    if not (text.isascii() and text.isdecimal() and int(text) <= LONGEST_SECONDS):
        raise HelperError(f"not a number of seconds from 0 to {LONGEST_SECONDS}: {text!r}", code=2)
    return int(text)


def in_use(layout: Layout) -> set[str]:
    """Releases that must not be removed: the current one, and any that runs."""
    names = {release_of(activation) for activation in systemd.loaded()}
    current = activations.current_release(layout)
    return names | ({current} if current else set())


def take_lock(layout: Layout, owner: dict[str, Any], replace: int | None) -> dict[str, Any]:
    """Take the lock, and bring to an end what its last owner left half done; "settled" is that intent."""
    answer = lock.take(layout, owner, replace)
    if "token" not in answer:
        return answer
    try:
        return answer | {"settled": settling.settle(layout)}
    except BaseException:
        lock.release(layout, answer["token"])  # nobody would know the token
        raise


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as this program reports everything: as JSON."""

    def error(self, message: str) -> Any:
        """Turn argparse's message into a HelperError (2)."""
        raise HelperError(message, code=2)


# every argument by name, and what makes sure that it is one; nothing else reaches an act
TYPES: dict[str, Callable[[str], Any]] = {
    "release": release_id,
    "releases": release_id,
    "activation": activation_id,
    "owner": json_argument,
}


class Call(NamedTuple):
    """One call: the host's paths, the parsed arguments, standard input."""

    at: Layout
    args: argparse.Namespace
    stream: IO[bytes]


class Act(NamedTuple):
    """One act: its function, whether it needs the lock's token, its arguments and its options, with their types."""

    do: Callable[[Call], dict[str, Any]]
    locked: bool
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


ACTS: dict[str, Act] = {
    "status": Act(lambda call: records.status(call.at), False),
    "preflight": Act(lambda call: facts.preflight(call.at), False),
    "database": Act(lambda call: database.ask(call.at), False),
    "lock": Act(lambda call: take_lock(call.at, call.args.owner, call.args.replace), False, ("owner",), ("replace",)),
    "beat": Act(lambda _: {"beaten": True}, True),  # the check of its token was the sign of life
    "renew": Act(lambda call: lock.renew(call.at, call.args.token), True),
    "unlock": Act(lambda call: lock.release(call.at, call.args.token), False, (), ("token",)),
    "stage": Act(
        lambda call: store.stage(call.at, call.args.release, call.args.part, call.stream, call.args.token),
        True, ("release",), ("part",),
    ),
    "migrate": Act(lambda call: migrations.migrate(call.at, call.args.release, call.args.token), True, ("release",)),
    "start": Act(
        lambda call: activations.start(call.at, call.args.release, call.args.token, call.args.reuse),
        True, ("release",), ("reuse",),
    ),
    "swap": Act(lambda call: switch.swap(call.at, call.args.activation, call.args.token), True, ("activation",)),
    "retire": Act(
        lambda call: switch.retire(
            call.at, call.args.token, call.args.warm, call.args.seconds, wait=not call.args.no_wait
        ),
        True, (), ("warm", "seconds", "no-wait"),
    ),
    "cool": Act(lambda call: switch.cool(call.at, call.args.activation), False, ("activation",)),
    "stop": Act(lambda call: switch.stop(call.at, call.args.activation, call.args.token), True, ("activation",)),
    "clear": Act(
        lambda call: switch.clear(call.at, call.args.token, wait=not call.args.no_wait),
        True, (), ("no-wait",),
    ),
    "record": Act(lambda call: records.append_ledger(call.at, json.loads(call.stream.read(LONGEST_INPUT))), True),
    "remove": Act(
        lambda call: store.remove(call.at, call.args.releases, lambda: in_use(call.at), call.args.token),
        True, ("releases",),
    ),
    "boot": Act(lambda call: switch.boot(call.at), False),
    "session": Act(
        lambda call: session.hold(call.stream, lambda words, sent: main(words, call.at, sent)), False
    ),
}  # fmt: skip

OPTIONS: dict[str, dict[str, Any]] = {
    "token": {"type": int, "required": True, "help": "the token that `lock` answered"},
    "replace": {"type": int, "help": "the token of a lock whose owner is dead"},
    "part": {"action": "append", "default": [], "help": "a part that follows the manifest"},
    "reuse": {"type": activation_id, "help": "a warm activation, of which the processes alone are started"},
    "warm": {"type": activation_id, "help": "the activation whose web server stays up"},
    "seconds": {"type": whole_seconds, "default": 0, "help": "for how long"},
    "no-wait": {"action": "store_true", "help": "answer at once, and leave it to systemd to see it end"},
}


def parser(wanted: Sequence[str]) -> argparse.ArgumentParser:
    """The command line's grammar, from the table of acts; of the act that is `wanted`, if it is one, alone, as a
    rollback waits for the start of this program several times over."""
    top = Parser(prog="booking-release", description=__doc__, allow_abbrev=False)
    # with its own name given, argparse need not work out its usage first
    acts = top.add_subparsers(dest="act", required=True, metavar="ACT", prog="booking-release")
    for name in ACTS.keys() & set(wanted[:1]) or ACTS:
        _, locked, arguments, options = ACTS[name]
        act = acts.add_parser(name, allow_abbrev=False)
        for option in (*(("token",) if locked else ()), *options):
            act.add_argument(f"--{option}", **OPTIONS[option])
        for argument in arguments:
            act.add_argument(argument, type=TYPES[argument], nargs="+" if argument == "releases" else None)
    return top


def main(argv: Sequence[str], layout: Layout | None = None, stream: IO[bytes] | None = None) -> int:
    """Do one act. Prints {"…": …}, or {"error": {what, unit, journal}}; returns the exit status."""
    layout = layout or Layout()
    try:
        args = parser(argv).parse_args(argv)
        act = ACTS[args.act]
        if act.locked:
            lock.enter(layout, args.token)
        answer, code = act.do(Call(layout, args, stream or sys.stdin.buffer)), 0
    except HelperError as error:
        answer, code = (
            {"error": {"what": error.what, "unit": error.unit, "journal": error.journal}},
            error.code,
        )
    except Exception as error:  # a traceback helps nobody on the other side of the connection
        answer, code = {"error": {"what": f"{type(error).__name__}: {error}", "unit": "", "journal": ()}}, 1
    print(json.dumps(answer))
    return code
