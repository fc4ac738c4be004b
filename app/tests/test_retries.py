"""Transactions that PostgreSQL ends in favour of another are done again; others are not."""

from collections.abc import Callable
from threading import Barrier

import pytest
from django.db import OperationalError, connection, transaction

from booking.accounts.models import User
from booking.core.retries import ATTEMPTS, lost, retried
from tests.helpers import at_once, make_user

both = pytest.mark.parametrize("wrap", [retried, None], ids=["retried", "control"])
Rename = Callable[[int], None]


def meeting() -> Callable[[int], None]:
    """What two call in the midst of their first attempts, and neither goes on alone; later ones pass."""
    met, here = Barrier(2), set[int]()

    def meet(number: int) -> None:
        if number not in here:
            here.add(number)
            met.wait(timeout=30)

    return meet


def outcomes(act: Rename, wrap: Callable[[Rename], Rename] | None) -> tuple[int, int]:
    """How many of two at once succeeded, and how many attempts they made in all."""
    attempts: list[int] = []

    def counted(number: int) -> None:
        attempts.append(number)
        act(number)

    def run(number: int) -> bool:
        try:
            (wrap or (lambda same: same))(counted)(number)
        except OperationalError as error:
            return not lost(error)
        return True

    return at_once(2, run).count(True), len(attempts)


@both
@pytest.mark.django_db(transaction=True)
def test_of_two_that_wait_for_each_other_both_are_done_in_the_end(
    guest: User, host: User, wrap: Callable[[Rename], Rename] | None
) -> None:
    meet = meeting()

    @transaction.atomic
    def rename(number: int) -> None:
        keys = [guest.pk, host.pk] if number else [host.pk, guest.pk]
        User.objects.filter(pk=keys[0]).update(name="first")
        meet(number)
        User.objects.filter(pk=keys[1]).update(name=f"second of {number}")

    done, attempts = outcomes(rename, wrap)
    assert done == (2 if wrap else 1)
    assert (attempts > 2) is bool(wrap)


@both
@pytest.mark.django_db(transaction=True)
def test_of_two_that_write_what_both_have_read_both_are_counted(
    guest: User, wrap: Callable[[Rename], Rename] | None
) -> None:
    User.objects.update(name="0")
    meet = meeting()

    @transaction.atomic
    def count(number: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        before = int(User.objects.get(pk=guest.pk).name)
        meet(number)
        User.objects.filter(pk=guest.pk).update(name=str(before + 1))

    done, _ = outcomes(count, wrap)
    assert done == (2 if wrap else 1)
    assert User.objects.get(pk=guest.pk).name == str(done)


class Fails:
    """Raises what PostgreSQL says under a code, each time it is called; counts the calls."""

    def __init__(self, code: str) -> None:
        self.code, self.calls = code, 0

    def __call__(self) -> None:
        """One call."""
        self.calls += 1
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{self.code}'; END $$")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("code", "calls"), [("40001", ATTEMPTS), ("40P01", ATTEMPTS), ("40003", 1), ("53300", 1)]
)
def test_after_a_few_attempts_the_failure_is_told_and_other_failures_at_once(code: str, calls: int) -> None:
    fails = Fails(code)
    with pytest.raises(OperationalError):
        retried(fails)()
    assert fails.calls == calls


@pytest.mark.django_db(transaction=True)
def test_what_is_not_the_databases_failure_is_told_at_once() -> None:
    @retried
    def wrong() -> None:
        make_user("")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        wrong()
    assert User.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_within_another_transaction_nothing_is_done_twice() -> None:
    fails = Fails("40001")
    with pytest.raises(OperationalError), transaction.atomic():
        retried(fails)()
    assert fails.calls == 1
