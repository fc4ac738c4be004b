"""What is read of listings."""

from datetime import date
from typing import Any

from django import forms
from django.contrib.postgres.search import SearchQuery
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Lower
from django.http import Http404
from django_filters import rest_framework as filters
from django_filters.utils import translate_validation

from booking.accounts.models import Role, User
from booking.bookings.models import HOLDING, NIGHTS, Booking
from booking.core.pagination import Page, page_of
from booking.listings.models import WORDS, Currency, Listing, Status

SHOWN = (
    "id", "host", "title", "description", "place",
    "price_per_night", "currency", "capacity", "status", "created_at",
)  # fmt: skip
ORDERS = {
    "newest": "-id",
    "price": "price_per_night",
    "-price": "-price_per_night",
    "capacity": "capacity",
}


def listing_list(*, reader: User | None = None) -> QuerySet[Listing]:
    """What `reader` may see: all that is on offer, and the hidden ones of a host; everything for an admin."""
    if reader and reader.role == Role.ADMIN:
        return Listing.objects.all()
    offered = Q(status=Status.PUBLISHED)
    return Listing.objects.filter(offered | Q(host=reader) if reader else offered)


def listing_shown(listings: QuerySet[Listing], *, pk: int) -> dict[str, Any]:
    """What is shown of one of `listings`. Raises Http404."""
    if row := listings.filter(pk=pk).values(*SHOWN).first():
        return dict(row)
    raise Http404


def free(listings: QuerySet[Listing], *, check_in: date, check_out: date) -> QuerySet[Listing]:
    """Of `listings` those that nobody has for any night of [check_in, check_out)."""
    # As the constraint that forbids an overlap says it: its index answers.
    taken = Booking.objects.alias(nights=NIGHTS).filter(
        listing=OuterRef("pk"), status__in=HOLDING, nights__overlap=(check_in, check_out)
    )
    return listings.filter(~Exists(taken))


def listing_page(*, asked: dict[str, Any], size: int, reader: User | None = None) -> Page:
    """A page of what is on offer, or of the listings of `reader` alone, as dictionaries of SHOWN.

    `asked` has the filters, `ordering` and `cursor`, as texts. Raises ValidationError with the fields that
    are wrong, NotFound for a wrong cursor.
    """
    listings = Listing.objects.filter(host=reader) if reader else listing_list()
    asked = asked | {"currency": asked.get("currency", "").upper()}
    filtered = ListingFilter(asked, queryset=listings)
    if not filtered.is_valid():
        raise translate_validation(filtered.errors)  # type: ignore[misc]  # the stubs are wrong
    order = ORDERS[filtered.form.cleaned_data["ordering"] or "newest"]
    return page_of(filtered.qs.values(*SHOWN), order=order, cursor=asked.get("cursor"), size=size)


class ListingForm(forms.Form):
    """What no filter can tell alone."""

    def clean(self) -> dict[str, Any]:
        """Both dates or none, in their order."""
        check_in, check_out = (self.cleaned_data.get(name) for name in ("check_in", "check_out"))
        if check_in and check_out and check_out <= check_in:
            self.add_error("check_out", "The check-out must come after the check-in.")
        for name, value, other in (("check_in", check_in, check_out), ("check_out", check_out, check_in)):
            if other and not value and name not in self.errors:
                self.add_error(name, "Give both dates.")
        return self.cleaned_data


class ListingFilter(filters.FilterSet):
    """The filters of the list; prices are a night's, in whatever currency the listing has."""

    search = filters.CharFilter(
        method="by_words", max_length=120, label="Has every one of these words in title, place or description"
    )
    place = filters.CharFilter(method="by_place", max_length=120, label="In capitals or not")
    price_min = filters.NumberFilter(
        "price_per_night", lookup_expr="gte", max_digits=10, decimal_places=2, label="In any currency"
    )
    price_max = filters.NumberFilter(
        "price_per_night", lookup_expr="lte", max_digits=10, decimal_places=2, label="In any currency"
    )
    currency = filters.ChoiceFilter(choices=Currency.choices, label="ISO 4217")
    guests = filters.NumberFilter(
        "capacity", lookup_expr="gte", decimal_places=0, min_value=1, label="Takes so many"
    )
    check_in = filters.DateFilter(method="by_dates", label="Free from this night; together with check_out")
    check_out = filters.DateFilter(method="by_dates", label="Free until the morning of this day")
    mine = filters.ChoiceFilter(
        choices=(("true", "mine"), ("false", "all")), method="nothing", label="My own alone, hidden or not"
    )
    ordering = filters.ChoiceFilter(
        choices=[(name, name) for name in ORDERS], method="nothing", label="Unless asked, the newest first"
    )

    class Meta:
        form = ListingForm

    def nothing(self, listings: QuerySet[Listing], name: str, value: Any) -> QuerySet[Listing]:
        """All of them: whose they are and their order are the caller's business."""
        return listings

    def by_words(self, listings: QuerySet[Listing], name: str, value: str) -> QuerySet[Listing]:
        """Those that have every word."""
        return listings.alias(words=WORDS).filter(words=SearchQuery(value, config="simple"))

    def by_place(self, listings: QuerySet[Listing], name: str, value: str) -> QuerySet[Listing]:
        """Those at the place."""
        return listings.alias(where=Lower("place")).filter(where=Lower(Value(value)))

    def by_dates(self, listings: QuerySet[Listing], name: str, value: date) -> QuerySet[Listing]:
        """Those that are free, asked once for the two dates."""
        both = {field: self.form.cleaned_data[field] for field in ("check_in", "check_out")}
        return free(listings, **both) if name == "check_in" else listings
