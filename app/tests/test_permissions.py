"""Who may do what: by role and by owner."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.shortcuts import get_object_or_404
from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from booking.accounts.models import Role, User
from booking.accounts.permissions import IsHost, IsHostOrReadOnly, IsOwnerOrReadOnly, own, owns
from booking.bookings.models import Booking
from booking.bookings.services import booking_create
from booking.listings.models import Listing
from tests.helpers import client_of, make_user, stay


class Answering(APIView):
    """Answers whoever is let through."""

    def get(self, request: Request, pk: int = 0) -> Response:
        """200 with the listing's id, where one is asked for."""
        if pk:
            self.check_object_permissions(request, get_object_or_404(Listing, pk=pk))
        return Response(pk)

    patch = post = get


def answering(*permissions: Any) -> Any:
    """A view with these permissions."""
    return Answering.as_view(permission_classes=permissions)


urlpatterns = [
    path("hosts", answering(IsHost)),
    path("readers", answering(IsHostOrReadOnly)),
    path("listings/<int:pk>", answering(IsOwnerOrReadOnly)),
]
handler404 = "booking.core.errors.page_not_found"

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


def as_role(role: str | None) -> User | None:
    """A user of this role, or nobody."""
    return make_user(f"a-{role}@example.org", role=role) if role else None


def told(answer: Any) -> tuple[int, str]:
    """The status and, of an error, its code."""
    return answer.status_code, answer.json()["error"]["code"] if answer.status_code >= 400 else ""


@pytest.mark.parametrize(
    ("role", "reads", "writes"),
    [
        (None, (401, "not_authenticated"), (401, "not_authenticated")),
        (Role.GUEST, (403, "host_only"), (403, "host_only")),
        (Role.HOST, (200, ""), (200, "")),
        (Role.ADMIN, (200, ""), (200, "")),
    ],
)
def test_what_is_for_hosts_is_for_hosts_and_admins(role: Any, reads: Any, writes: Any) -> None:
    client = client_of(as_role(role))
    assert (told(client.get("/hosts")), told(client.post("/hosts"))) == (reads, writes)
    assert (told(client.get("/readers")), told(client.post("/readers"))) == ((200, ""), writes)


def test_a_listing_is_read_by_everybody_and_changed_by_its_host_and_admins(listing: Listing) -> None:
    other, admin = as_role(Role.HOST), as_role(Role.ADMIN)
    address = f"/listings/{listing.pk}"
    for user in (None, other, listing.host, admin):
        assert told(client_of(user).get(address)) == (200, "")
    assert told(client_of(None).patch(address)) == (401, "not_authenticated")
    assert told(client_of(other).patch(address)) == (403, "not_yours")
    assert told(client_of(listing.host).patch(address)) == (200, "")
    assert told(client_of(admin).patch(address)) == (200, "")


def test_control_without_the_permission_anybody_changes_a_listing(
    listing: Listing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("booking.accounts.permissions.owns", lambda user, thing: True)
    assert client_of(as_role(Role.GUEST)).patch(f"/listings/{listing.pk}").status_code == 200


def test_of_bookings_a_guest_has_their_own_and_an_admin_all(guest: User, listing: Listing) -> None:
    other, admin = make_user("other@example.org"), as_role(Role.ADMIN)
    assert admin
    theirs = booking_create(guest=guest, **stay(listing))
    for user, found in ((guest, [theirs]), (other, []), (listing.host, []), (admin, [theirs])):
        assert list(own(Booking.objects.all(), user=user, owner="guest")) == found
        assert owns(user, theirs) is bool(found)
    assert not owns(AnonymousUser(), theirs)


def test_a_superuser_of_a_release_that_knew_no_roles_is_an_admin(db: None) -> None:
    user = make_user("root@example.org", is_superuser=True)
    assert (user.is_admin, user.is_host) == (True, True)
