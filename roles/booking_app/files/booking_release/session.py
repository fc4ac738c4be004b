"""Several acts over one connection. Each runs in a process of its own, as if the program had been started for it, but
nobody waits for sudo's, Python's and the modules' start each time, which take longer than most acts."""

import io
import json
import os
import socket  # noqa: F401 # acts ask over it: imported here, it is there in each
import sys
import syslog
from collections.abc import Callable
from typing import IO, Any

from .layout import HelperError
from .pace import give_way

LONGEST_LINE = 1 << 21
LONGEST_WORDS = 8000  # characters of one call's arguments: what is longer, the log would not take whole

Run = Callable[[list[str], IO[bytes]], int]


def hold(stream: IO[bytes], run: Run) -> dict[str, Any]:
    """Do act after act until the stream ends: a line of JSON each, [[act, argument, ...], standard input].

    Each is answered by a line {"code": exit status, "out": what it printed, "err": what it complained of}. Ends
    with {"acts": how many there were}. HelperError: a line that is not a call.
    """
    acts = 0
    for line in iter(lambda: stream.readline(LONGEST_LINE), b""):
        words, sent = call_of(line)
        note(words)
        print(json.dumps(apart(words, lambda words=words, sent=sent: run(words, io.BytesIO(sent)))), flush=True)
        acts += 1
    return {"acts": acts}


def note(words: list[str]) -> None:
    """Write down who has an act done, as sudo does of the conversation's start alone."""
    who = os.environ.get("SUDO_USER", "root")
    # as JSON: on one line, whatever is in it
    syslog.syslog(syslog.LOG_AUTHPRIV | syslog.LOG_INFO, f"{who}: {json.dumps(words)}")


def call_of(line: bytes) -> tuple[list[str], bytes]:
    """The arguments and the standard input of one call. HelperError: it is none."""
    try:
        words, sent = json.loads(line)
        if all(isinstance(word, str) for word in words) and sum(map(len, words)) <= LONGEST_WORDS:
            return list(words), sent.encode()
    except (ValueError, TypeError, AttributeError):
        pass
    raise HelperError(f"not a call: {line[:100]!r}", code=2)


def apart(words: list[str], run: Callable[[], int]) -> dict[str, Any]:
    """Run an act in a process of its own: its exit status, and what it and its own processes printed."""
    try:
        out, err = os.memfd_create("out"), os.memfd_create("err")
        child = os.fork()
    except OSError as error:
        return {"code": 1, "out": "", "err": f"no act can be begun: {error.strerror}"}
    if not child:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(err, 2)
            give_way("".join(words[:1]))
            code = run()
            sys.stdout.flush()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return {"code": os.waitstatus_to_exitcode(status), "out": contents(out), "err": contents(err)}


def contents(handle: int) -> str:
    """What was written to a file, which is closed then."""
    with open(handle, "rb") as file:
        file.seek(0)
        return file.read().decode(errors="replace")
