"""Stays, for staff."""

from django.contrib import admin

from booking.bookings.models import AuditEntry, Booking
from booking.core.admin import ReadOnly, TabularInline


class Audit(TabularInline):
    """What became of a booking."""

    model = AuditEntry
    fields = readonly_fields = ("at", "subject", "before", "after", "actor", "request_id")
    can_delete = False
    extra = max_num = 0


@admin.register(Booking)
class Bookings(ReadOnly):
    """Who stays where."""

    list_display = ("id", "listing", "guest", "check_in", "check_out", "status", "price_total", "currency")
    list_filter = ("status", "currency")
    search_fields = ("guest__email", "listing__title")
    list_select_related = ("listing", "guest")
    date_hierarchy = "check_in"
    inlines = (Audit,)
