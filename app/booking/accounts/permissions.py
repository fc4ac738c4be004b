"""Who may do what: by role, and by owner. An admin may do everything."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from booking.accounts.models import Role, User


def owns(user: Any, thing: Any) -> bool:
    """Whether `thing` (a listing) is the user's to change: their own, or they are an admin."""
    return isinstance(user, User) and (user.role == Role.ADMIN or thing.host_id == user.pk)


class IsHost(BasePermission):
    """Hosts and admins; 403 host_only for other users, 401 for nobody."""

    code, message = "host_only", "Only hosts may do this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """By the user's role."""
        return isinstance(request.user, User) and request.user.role in (Role.HOST, Role.ADMIN)


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
