"""Payments, for staff."""

from django.contrib import admin

from booking.core.admin import ReadOnly
from booking.payments.models import Payment


@admin.register(Payment)
class Payments(ReadOnly):
    """What was paid and given back."""

    list_display = (
        "reference",
        "booking",
        "amount",
        "currency",
        "status",
        "provider_reference",
        "updated_at",
    )
    list_filter = ("status", "currency")
    search_fields = ("reference", "provider_reference", "booking__guest__email")
    list_select_related = ("booking",)
