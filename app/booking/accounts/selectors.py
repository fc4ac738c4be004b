"""What is read of users."""

from django.db.models import QuerySet
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from booking.accounts.models import LoginEvent, User


def signed_in(request: Request) -> User:
    """Who asks. Raises NotAuthenticated where nobody is signed in, whatever the view allows."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user


def login_list(*, user: User) -> QuerySet[LoginEvent]:
    """The attempts to log in as `user`, as long as they are kept."""
    return LoginEvent.objects.filter(user=user)


def has_logged_in_from(*, email: str, address: str | None) -> bool:
    """Whether the user of the normalised `email` has logged in from `address`, as long as that is kept."""
    return LoginEvent.objects.filter(
        user__email=email, address=address, succeeded=True, address__isnull=False
    ).exists()
