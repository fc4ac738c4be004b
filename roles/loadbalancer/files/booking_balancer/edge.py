"""`booking-edge`: what roles, certbot and units of this balancer ask of it, as root. Answers are of one line."""

import json
import re
import sys
from collections.abc import Callable, Sequence

from . import certificate, engines, state, takeover
from .state import HelperError, Layout
from .watch import watch

THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")  # RFC 8555, 8.1: base64url of a SHA-256


def word(changed: bool) -> str:
    """How an act says whether it changed anything."""
    return "changed" if changed else "unchanged"


def refresh(layout: Layout) -> str:
    """Write what the engine reads when it starts or reloads: what is wanted, as a changed configuration has it; and a
    certificate, where none was issued yet."""
    with layout.guard():
        config = state.load(layout)
        if not layout.wanted.is_file():
            state.write(layout, state.Wanted())
        new = not layout.bundle.is_file()
        if new:
            certificate.placeholder(layout)
        return word(engines.of(config).write(layout, config, state.read(layout, config.servers)) or new)


def would_refresh(layout: Layout) -> str:
    """Whether `refresh` would change anything."""
    config = state.load(layout)
    wanted = state.read(layout, config.servers) if layout.wanted.is_file() else state.Wanted()
    files = engines.of(config).files(layout, config, wanted)
    return word(not layout.bundle.is_file() or any(state.differs(path, text) for path, text in files.items()))


def take_certificate(layout: Layout) -> str:
    """Serve the bundle on standard input from now on; no connection ends for it."""
    bundle = sys.stdin.read(certificate.LONGEST + 1)
    with layout.guard():
        config = state.load(layout)
        changed = certificate.install(layout, config, bundle)
        if not changed:
            try:
                leaf = certificate.describe(bundle)["serial"]
                if certificate.served(config)["serial"] == leaf:
                    return word(False)
            except HelperError:
                return word(False)  # it does not serve now, and reads the file when it starts
        engines.of(config).take(layout)
    return word(True)


def served(layout: Layout) -> str:
    """What this host's own port serves."""
    return json.dumps(certificate.served(state.load(layout)))


def account(layout: Layout, thumbprint: str) -> str:
    """Answer ACME challenges for the account with this thumbprint. HelperError (2): it is none."""
    check(thumbprint)
    with layout.guard():
        config = state.load(layout)
        wanted = state.read(layout, config.servers)
        return word(engines.of(config).account(layout, config, wanted, thumbprint))


def answers(layout: Layout) -> str:
    """The thumbprint that ACME challenges are answered with, now and after every start; empty for none."""
    said = layout.account.read_text().split()[-1:] if layout.account.is_file() else []
    return said[0] if said and engines.of(state.load(layout)).answers(layout, said[0]) else ""


def would_account(layout: Layout, thumbprint: str) -> str:
    """Whether `account` would change anything. HelperError (2): it is none."""
    check(thumbprint)
    return word(not engines.of(state.load(layout)).answers(layout, thumbprint))


def check(thumbprint: str) -> None:
    """HelperError (2): it is none of an account's key."""
    if not THUMBPRINT.fullmatch(thumbprint):
        raise HelperError(f"{thumbprint!r} is not the thumbprint of an account's key (RFC 8555, 8.1)", code=2)


def would_succeed(layout: Layout) -> str:
    """Whether `succeed` would end an engine."""
    return word(takeover.outlived(layout, state.load(layout)))


def succeed(layout: Layout) -> str:
    """End the engine that this balancer is no longer to have; the other one does what is wanted."""
    with layout.guard():
        config = state.load(layout)
        changed = takeover.succeed(layout, config)
        engines.of(config).settle(layout, config, state.read(layout, config.servers))
        return word(changed)


ACTS: dict[str, Callable[[Layout], str]] = {
    "refresh": refresh, "take-certificate": take_certificate, "certificate": served, "succeed": succeed,
    "account": answers,
}  # fmt: skip
CHECKS: dict[str, Callable[[Layout], str]] = {"refresh": would_refresh, "succeed": would_succeed}
USAGE = (
    f"usage: booking-edge {'|'.join(ACTS)}|watch, or booking-edge account THUMBPRINT; "
    "--check before refresh, succeed or account THUMBPRINT only tells whether it would change anything"
)


def main(argv: Sequence[str], layout: Layout | None = None) -> int:
    """Do one act; the exit status: 0 done, 1 failed, 2 a wrong argument."""
    layout = layout or Layout()
    try:
        checking = list(argv[:1]) == ["--check"]
        argv = list(argv[1:] if checking else argv)
        acts = CHECKS if checking else ACTS
        if len(argv) == 2 and argv[0] == "account":
            said = (would_account if checking else account)(layout, argv[1])
        elif argv == ["watch"] and not checking:
            watch(layout)
            return 0
        elif len(argv) == 1 and argv[0] in acts:
            said = acts[argv[0]](layout)
        else:
            raise HelperError(USAGE, code=2)
    except HelperError as error:
        print(f"booking-edge: {error.what}", file=sys.stderr)
        return error.code
    print(said)
    return 0
