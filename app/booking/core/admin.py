"""What the admin pages share."""

from typing import TYPE_CHECKING, Any, TypeAlias

from django.contrib import admin
from django.http import HttpRequest

from booking.core.models import DailyCount

if TYPE_CHECKING:  # generic for the type checker alone
    ModelAdmin: TypeAlias = admin.ModelAdmin[Any]
    TabularInline: TypeAlias = admin.TabularInline[Any, Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline


class ReadOnly(ModelAdmin):
    """Rows that are looked at here and written by services alone."""

    show_full_result_count = False  # counting every row of a large table takes longer than the page

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False


@admin.register(DailyCount)
class DailyCounts(ReadOnly):
    """What was done how often."""

    list_display = ("day", "what", "count")
    list_filter = ("day",)
