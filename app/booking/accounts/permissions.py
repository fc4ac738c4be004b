"""Who may do what: by role, and by owner. An admin may do everything."""

from typing import Any, TypeVar

from django.contrib.auth.models import AnonymousUser
from django.db.models import Model, QuerySet
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from booking.accounts.models import User

Row = TypeVar("Row", bound=Model)

OWNERS = ("host_id", "guest_id", "user_id")  # whichever a row has


def owns(user: User | AnonymousUser, thing: Model) -> bool:
    """Whether `thing` (a listing, a booking) is the user's to change: their own, or they are an admin."""
    if not isinstance(user, User):
        return False
    owner = next(getattr(thing, name) for name in OWNERS if hasattr(thing, name))
    return user.is_admin or owner == user.pk


def own(rows: QuerySet[Row], *, user: User, owner: str) -> QuerySet[Row]:
    """Of `rows` those whose `owner` (a field) is `user`, for an admin all; the others are as if not there."""
    return rows if user.is_admin else rows.filter(**{owner: user})


class IsHost(BasePermission):
    """Hosts and admins; 403 host_only for other users, 401 for nobody."""

    code, message = "host_only", "Only hosts may do this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """By the user's role."""
        return isinstance(request.user, User) and request.user.is_host


class IsHostOrReadOnly(IsHost):
    """As IsHost, where everybody may read."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        """By the method, then by the user's role."""
        return request.method in SAFE_METHODS or super().has_permission(request, view)


class IsOwnerOrReadOnly(BasePermission):
    """Changes of an object that everybody may read: its owner and admins; 403 not_yours for other users."""

    code, message = "not_yours", "This is somebody else's."

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        """By the method, then by the owner."""
        return request.method in SAFE_METHODS or owns(request.user, obj)
