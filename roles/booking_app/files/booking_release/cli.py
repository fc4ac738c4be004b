"""The command line: one act a call, every argument validated, one line of JSON as answer."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any, NamedTuple

from . import lock, migrations, records, store, units
from .layout import HelperError, Layout, activation_id, release_id, release_of

LONGEST_INPUT = 1 << 20


def json_argument(text: str) -> dict[str, Any]:
    """A JSON object from the command line."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise HelperError(f"not JSON: {error}", code=2) from None
    if not isinstance(value, dict):
        raise HelperError("not a JSON object", code=2)
    return value


def in_use(layout: Layout) -> set[str]:
    """Releases that must not be removed: the current one, and any that runs."""
    names = {release_of(activation) for activation in units.loaded()}
    current = units.current_release(layout)
    return names | ({current} if current else set())


def stop(layout: Layout, activation: str, token: int) -> dict[str, Any]:
    """Stop one activation; the one that nginx uses is refused."""
    units.end(layout, activation, token)
    return {"stopped": [activation]}


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


# act -> (function, whether the lock's token is needed, arguments)
ACTS: dict[str, tuple[Callable[[Call], dict[str, Any]], bool, tuple[str, ...]]] = {
    "status": (lambda call: records.status(call.at), False, ()),
    "lock": (lambda call: lock.take(call.at, call.args.owner, call.args.replace), False, ("owner",)),
    "unlock": (lambda call: lock.release(call.at, call.args.token), False, ()),
    "stage": (lambda call: store.stage(call.at, call.args.release, call.args.part, call.stream), True, ("release",)),
    "migrate": (lambda call: migrations.migrate(call.at, call.args.release), True, ("release",)),
    "start": (lambda call: units.start(call.at, call.args.release, call.args.token), True, ("release",)),
    "swap": (lambda call: units.swap(call.at, call.args.activation, call.args.token), True, ("activation",)),
    "stop": (lambda call: stop(call.at, call.args.activation, call.args.token), True, ("activation",)),
    "stop-others": (lambda call: units.stop_others(call.at, call.args.token), True, ()),
    "clear": (lambda call: units.clear(call.at, call.args.token), True, ()),
    "record": (lambda call: records.append_ledger(call.at, json.loads(call.stream.read(LONGEST_INPUT))), True, ()),
    "remove": (lambda call: store.remove(call.at, call.args.releases, in_use(call.at)), True, ("releases",)),
    "boot": (lambda call: units.boot(call.at), False, ()),
}


def parser() -> argparse.ArgumentParser:
    """The command line's grammar, from the table of acts."""
    top = Parser(prog="booking-release", description=__doc__, allow_abbrev=False)
    acts = top.add_subparsers(dest="act", required=True, metavar="ACT")
    for name, (_, locked, arguments) in ACTS.items():
        act = acts.add_parser(name, allow_abbrev=False)
        if locked or name == "unlock":
            act.add_argument("--token", type=int, required=True, help="the token that `lock` answered")
        if name == "lock":
            act.add_argument("--replace", type=int, help="the token of a lock whose owner is dead")
        if name == "stage":
            act.add_argument("--part", action="append", default=[], help="a part that follows the manifest")
        for argument in arguments:
            act.add_argument(argument, type=TYPES[argument], nargs="+" if argument == "releases" else None)
    return top


def main(argv: Sequence[str], layout: Layout | None = None, stream: IO[bytes] | None = None) -> int:
    """Do one act. Prints {"…": …}, or {"error": {what, unit, journal}}; returns the exit status."""
    layout = layout or Layout()
    try:
        args = parser().parse_args(argv)
        act, locked, _ = ACTS[args.act]
        if locked:
            lock.require(layout, args.token)
        answer, code = act(Call(layout, args, stream or sys.stdin.buffer)), 0
    except HelperError as error:
        answer, code = (
            {"error": {"what": error.what, "unit": error.unit, "journal": error.journal}},
            error.code,
        )
    except Exception as error:  # a traceback helps nobody on the other side of the connection
        answer, code = {"error": {"what": f"{type(error).__name__}: {error}", "unit": "", "journal": ()}}, 1
    print(json.dumps(answer))
    return code
