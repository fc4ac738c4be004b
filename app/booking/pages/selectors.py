"""What the report reads."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import connection

from booking.accounts.models import User

# Each night counts for its own month. A listing's rank is among its host's, in one month and currency.
MONTHS = """
    SELECT listing.id, listing.title, booking.currency, month::date,
           count(*) AS nights,
           sum(booking.price_per_night) AS revenue,
           count(*)::numeric / extract(day FROM month + interval '1 month' - interval '1 day') AS occupancy,
           rank() OVER (PARTITION BY month, booking.currency
                        ORDER BY sum(booking.price_per_night) DESC) AS rank,
           sum(sum(booking.price_per_night)) OVER (PARTITION BY month, booking.currency) AS month_revenue
      FROM listings_listing AS listing
      JOIN bookings_booking AS booking ON booking.listing_id = listing.id
      CROSS JOIN LATERAL generate_series(booking.check_in, booking.check_out - 1, interval '1 day') AS night
      CROSS JOIN LATERAL date_trunc('month', night) AS month
     WHERE listing.host_id = %s AND booking.status IN ('confirmed', 'completed')
       AND booking.check_in < %s AND booking.check_out > %s AND night >= %s AND night < %s
     GROUP BY listing.id, booking.currency, month
     ORDER BY month, booking.currency, rank, listing.id
"""


@dataclass(frozen=True)
class Row:
    """A listing in a month. revenue: of its nights, in `currency`; occupancy: share of the month's nights
    (0 to 1); rank: by revenue, 1 is the best; month_revenue: of all the host's listings in that currency."""

    listing: int
    title: str
    currency: str
    month: date
    nights: int
    revenue: Decimal
    occupancy: Decimal
    rank: int
    month_revenue: Decimal

    @property
    def percent(self) -> int:
        """The occupancy in percent, for people."""
        return round(self.occupancy * 100)


def host_report(*, host: User, first: date, last: date) -> list[Row]:
    """What the listings of `host` earned in the nights [first, last), a row a listing, month and currency."""
    with connection.cursor() as cursor:
        cursor.execute(MONTHS, [host.pk, last, first, first, last])
        return [Row(*row) for row in cursor.fetchall()]
