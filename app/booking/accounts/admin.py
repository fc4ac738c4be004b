"""Users, for staff."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from booking.accounts.models import LoginEvent, User
from booking.core.admin import ReadOnly


@admin.register(User)
class Users(UserAdmin):  # type: ignore[type-arg]  # generic for the type checker alone
    """As Django's own, by e-mail address and with roles."""

    ordering = ("-id",)
    list_display = ("email", "name", "role", "is_active", "is_staff")
    list_filter = ("role", "is_active", "is_staff")
    search_fields = ("email", "name")
    readonly_fields = ("created_at", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "password", "name", "role")}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("When", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = (
        (None, {"fields": ("email", "name", "role", "usable_password", "password1", "password2")}),
    )


@admin.register(LoginEvent)
class LoginEvents(ReadOnly):
    """Who logged in from where."""

    list_display = ("at", "user", "succeeded", "address", "country", "agent")
    list_filter = ("succeeded",)
    search_fields = ("user__email",)
    list_select_related = ("user",)
