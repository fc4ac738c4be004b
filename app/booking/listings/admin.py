"""Places, for staff."""

from django.contrib import admin

from booking.core.admin import ReadOnly
from booking.listings.models import Listing


@admin.register(Listing)
class Listings(ReadOnly):
    """What is on offer; its host changes it."""

    list_display = ("title", "place", "price_per_night", "currency", "capacity", "status", "host")
    list_filter = ("status", "currency")
    search_fields = ("title", "place", "host__email")
    list_select_related = ("host",)
