"""The outbox, for staff."""

from django.contrib import admin

from booking.core.admin import ReadOnly
from booking.outbox.models import Message


@admin.register(Message)
class Messages(ReadOnly):
    """What waits, what is done, what was given up; `manage.py replay_dead` tries the last again."""

    list_display = ("key", "kind", "due_at", "attempts", "done_at", "dead_at", "error")
    list_filter = ("kind",)
    search_fields = ("key",)
