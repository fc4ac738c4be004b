"""What is read of listings."""

from django.db.models import QuerySet
from django_filters import rest_framework as filters

from booking.listings.models import Listing


def listing_list() -> QuerySet[Listing]:
    """Every listing."""
    return Listing.objects.all()


class ListingFilter(filters.FilterSet):
    """The filters of the list; prices are a night's, in whatever currency the listing has."""

    place = filters.CharFilter(lookup_expr="iexact", max_length=120)
    price_min = filters.NumberFilter("price_per_night", lookup_expr="gte", max_digits=10, decimal_places=2)
    price_max = filters.NumberFilter("price_per_night", lookup_expr="lte", max_digits=10, decimal_places=2)
    currency = filters.CharFilter(lookup_expr="iexact", max_length=3)
    guests = filters.NumberFilter("capacity", lookup_expr="gte", label="Takes at least so many guests")
