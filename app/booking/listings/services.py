"""What is written about listings."""

from decimal import Decimal
from typing import Any

from django.db import transaction

from booking.accounts.models import User
from booking.listings.cache import forget
from booking.listings.models import Listing, Status


@transaction.atomic
def listing_create(
    *,
    host: User,
    title: str,
    place: str,
    price_per_night: Decimal,
    currency: str,
    capacity: int,
    description: str = "",
    status: str = Status.PUBLISHED,
) -> Listing:
    """A new listing of `host`; the price is for one night, in `currency` (ISO 4217)."""
    forget()
    return Listing.objects.create(
        host=host,
        title=title,
        description=description,
        place=place,
        price_per_night=price_per_night,
        currency=currency,
        capacity=capacity,
        status=status,
    )


@transaction.atomic
def listing_update(*, listing: Listing, **changes: Any) -> None:
    """Writes `changes` of columns, and no other: two who change different things at once both succeed."""
    if changes:
        forget()
        Listing.objects.filter(pk=listing.pk).update(**changes)
