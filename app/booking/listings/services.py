"""What is written about listings."""

from decimal import Decimal

from booking.accounts.models import User
from booking.listings.models import Listing


def listing_create(
    *,
    host: User,
    title: str,
    place: str,
    price_per_night: Decimal,
    currency: str,
    capacity: int,
    description: str = "",
) -> Listing:
    """A new listing of `host`; the price is for one night, in `currency` (ISO 4217)."""
    return Listing.objects.create(
        host=host,
        title=title,
        description=description,
        place=place,
        price_per_night=price_per_night,
        currency=currency,
        capacity=capacity,
    )
