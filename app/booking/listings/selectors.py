"""What is read of listings."""

from datetime import date

from django.contrib.postgres.search import SearchQuery
from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, Q, QuerySet
from django_filters import rest_framework as filters

from booking.accounts.models import User
from booking.bookings.models import HOLDING, Booking
from booking.listings.models import WORDS, Listing, Status


def listing_list(*, reader: User | None = None) -> QuerySet[Listing]:
    """Every listing that is on offer, and those of `reader`, hidden or not."""
    return Listing.objects.filter(
        Q(status=Status.PUBLISHED) | Q(host=reader) if reader else Q(status=Status.PUBLISHED)
    )


def free(listings: QuerySet[Listing], *, check_in: date, check_out: date) -> QuerySet[Listing]:
    """Of `listings` those that nobody has for any night of [check_in, check_out)."""
    taken = Booking.objects.filter(
        listing=OuterRef("pk"), status__in=HOLDING, check_in__lt=check_out, check_out__gt=check_in
    )
    return listings.filter(~Exists(taken))


class ListingFilter(filters.FilterSet):
    """The filters of the list; prices are a night's, in whatever currency the listing has."""

    search = filters.CharFilter(
        method="by_words", max_length=120, label="Words of title, place or description"
    )
    place = filters.CharFilter(lookup_expr="iexact", max_length=120)
    price_min = filters.NumberFilter("price_per_night", lookup_expr="gte", max_digits=10, decimal_places=2)
    price_max = filters.NumberFilter("price_per_night", lookup_expr="lte", max_digits=10, decimal_places=2)
    currency = filters.CharFilter(lookup_expr="iexact", max_length=3)
    guests = filters.NumberFilter("capacity", lookup_expr="gte", label="Takes at least so many guests")
    check_in = filters.DateFilter(method="with_both", label="Free from this night; together with check_out")
    check_out = filters.DateFilter(method="with_both", label="Free until this day")
    ordering = filters.OrderingFilter(
        fields={"id": "newest", "price_per_night": "price", "capacity": "capacity"},
        label="-newest unless asked",
    )

    def by_words(self, listings: QuerySet[Listing], name: str, value: str) -> QuerySet[Listing]:
        """Those that have every word."""
        return listings.annotate(words=WORDS).filter(words=SearchQuery(value, config="simple"))

    def with_both(self, listings: QuerySet[Listing], name: str, value: date) -> QuerySet[Listing]:
        """Those that are free, asked once for the two dates."""
        check_in, check_out = (self.form.cleaned_data.get(field) for field in ("check_in", "check_out"))
        if name == "check_out" and check_in:
            return listings  # done with the other
        if not (check_in and check_out and check_in < check_out):
            raise ValidationError("Give both dates, the second after the first.")
        return free(listings, check_in=check_in, check_out=check_out)
