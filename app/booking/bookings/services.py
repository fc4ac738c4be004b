"""What is written about bookings."""

from datetime import date, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from booking.accounts.models import User
from booking.bookings.models import MOVES, Booking, IdempotentAnswer, Status, moved
from booking.core.errors import ApplicationError, refusing
from booking.core.retries import retried
from booking.listings.models import Listing
from booking.listings.models import Status as ListingStatus
from booking.payments.chapa import payable

NIGHTS_MAXIMUM = 365
ANSWERS_KEPT = timedelta(days=7)  # how long a request may be repeated under its Idempotency-Key


def invalid(**fields: str) -> ApplicationError:
    """A 400 with one message a field."""
    return ApplicationError(
        code="invalid",
        message="The request is not valid; see the fields.",
        fields={field: [message] for field, message in fields.items()},
        http_status=400,
    )


def _move(booking: Booking, to: Status, actor: User | None) -> None:
    """Writes a move of `booking`, which the caller has locked or just made, and tells it to who listens.

    Raises ApplicationError 409 not_possible for a move that is not in MOVES.
    """
    before = booking.status
    if to not in (MOVES[before] if before else (Status.PENDING, Status.CONFIRMED)):
        raise ApplicationError(code="not_possible", message=f"This booking is {before} already.")
    booking.status = to
    booking.save(update_fields=["status"] if before else None)
    moved.send(Booking, booking=booking, before=before, after=to.value, actor=actor)


@retried
def booking_create(*, guest: User, listing: int, check_in: date, check_out: date, guests: int) -> Booking:
    """A booking of the nights [check_in, check_out) at today's price.

    It is pending for HOLD_MINUTES where it can be paid online, else confirmed. Raises ApplicationError: 400
    invalid (dates, guests, unknown or hidden listing), 409 own_listing, 409 dates_taken.
    """
    if check_in < timezone.localdate():
        raise invalid(check_in="This date is past.")
    nights = (check_out - check_in).days
    if nights < 1:
        raise invalid(check_out="The check-out must come after the check-in.")
    if nights > NIGHTS_MAXIMUM:
        raise invalid(check_out=f"A stay has at most {NIGHTS_MAXIMUM} nights.")
    taken = ApplicationError(code="dates_taken", message="Somebody has booked these dates.")
    with refusing({"bookings_booking_no_overlap": taken}):
        # The lock makes rivals for one place wait here and then meet the constraint; without it two of them
        # can each wait for the other's row inside the constraint's index, which PostgreSQL ends as a deadlock
        # after a second. It is for speed: what forbids an overlap is the constraint alone.
        offered = Listing.objects.select_for_update(no_key=True).filter(status=ListingStatus.PUBLISHED)
        place = offered.filter(pk=listing).first()
        if place is None:
            raise invalid(listing="There is no such listing.")
        if place.host_id == guest.pk:
            raise ApplicationError(code="own_listing", message="This place is your own.")
        if guests > place.capacity:
            raise invalid(guests=f"This place takes {place.capacity}.")
        waits = payable(place.currency)
        booking = Booking(
            listing=place,
            guest=guest,
            check_in=check_in,
            check_out=check_out,
            guests=guests,
            price_per_night=place.price_per_night,
            price_total=place.price_per_night * nights,
            currency=place.currency,
            expires_at=timezone.now() + timedelta(minutes=settings.HOLD_MINUTES) if waits else None,
        )
        _move(booking, Status.PENDING if waits else Status.CONFIRMED, guest)
        return booking


@retried
@transaction.atomic
def booking_cancel(*, guest: User, booking: int) -> Booking:
    """The guest's booking, cancelled, its dates free; a second time changes nothing.

    What was paid for it becomes due for refund. Raises Booking.DoesNotExist for another guest's,
    ApplicationError 409 stay_over for one that is past, 409 not_possible for one that has expired.
    """
    found = (
        Booking.objects.select_for_update(of=("self",)).select_related("listing").get(pk=booking, guest=guest)
    )
    if found.status == Status.CANCELLED:
        return found
    if found.check_out <= timezone.localdate():
        raise ApplicationError(code="stay_over", message="This stay is over.")
    _move(found, Status.CANCELLED, guest)
    return found


def booking_confirm(*, booking: Booking) -> None:
    """Confirms a pending booking, which the caller has locked: it is paid."""
    _move(booking, Status.CONFIRMED, None)


def holds_expire() -> int:
    """How many unpaid bookings lost their dates now, their time being over."""
    return _move_all(
        Booking.objects.filter(status=Status.PENDING, expires_at__lte=timezone.now()), Status.EXPIRED
    )


def stays_complete() -> int:
    """How many stays ended by today."""
    return _move_all(
        Booking.objects.filter(status=Status.CONFIRMED, check_out__lte=timezone.localdate()),
        Status.COMPLETED,
    )


def _move_all(due: QuerySet[Booking], to: Status) -> int:
    """How many of `due` were moved: each by itself; those that somebody else holds wait for the next run."""
    return sum(_move_one(due.filter(pk=key), to) for key in due.values_list("pk", flat=True))


@retried
@transaction.atomic
def _move_one(due: QuerySet[Booking], to: Status) -> bool:
    booking = due.select_for_update(skip_locked=True).first()
    if booking:
        _move(booking, to, None)
    return booking is not None


def answers_prune() -> int:
    """How many answers to requests with an Idempotency-Key were forgotten, being too old to be asked for."""
    return IdempotentAnswer.objects.filter(created_at__lt=timezone.now() - ANSWERS_KEPT).delete()[0]
