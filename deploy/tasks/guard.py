"""How a task ends: a message and its exit code, never a traceback."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ParamSpec, TypeVar

from invoke.exceptions import Exit

from deploy.errors import Exit as Code
from deploy.errors import NexusError
from deploy.specs import ROOT

P = ParamSpec("P")
R = TypeVar("R")


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Turn every failure of a task into its message and exit code; an unforeseen one is kept in a file."""

    @functools.wraps(function)
    def call(*arguments: P.args, **options: P.kwargs) -> R:
        try:
            return function(*arguments, **options)
        except NexusError as error:
            raise Exit(str(error), error.code) from None
        except KeyboardInterrupt:
            raise Exit("interrupted; a run that had begun is put right by the next", Code.INTERRUPTED) from None
        except Exit:
            raise
        except Exception as error:
            log = ROOT / "build/logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.txt"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(traceback.format_exc())
            raise Exit(
                f"a defect of Nexus: {type(error).__name__}: {error}\n  mend: report it, with {log}",
                Code.NEEDS_PERSON,
            ) from None

    return call
