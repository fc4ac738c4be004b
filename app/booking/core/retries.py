"""Transactions that lost against another one are done again."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, connection

ATTEMPTS = 5
# serialization_failure and deadlock_detected: PostgreSQL's appendix A, class 40, of which these two alone say
# that the same transaction may succeed when it is done again.
LOST = frozenset({"40001", "40P01"})

Given = ParamSpec("Given")
Result = TypeVar("Result")


def lost(error: BaseException) -> bool:
    """Whether PostgreSQL ended a transaction in favour of another one."""
    return isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", None) in LOST


def retried(act: Callable[Given, Result]) -> Callable[Given, Result]:
    """`act`, which has its transaction within itself, done up to ATTEMPTS times while it loses.

    Between two attempts it waits for a random time, of at most 20 ms, then 40, 80 and 160. Within a
    transaction of the caller's it is done once: that one is lost as a whole, and only who opened it can begin
    again.
    """

    @wraps(act)
    def again(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        if connection.in_atomic_block:
            return act(*args, **kwargs)
        from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

        retrying = Retrying(
            retry=retry_if_exception(lost),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(multiplier=0.02, max=0.16),
            reraise=True,
        )
        return retrying(act, *args, **kwargs)

    return again
