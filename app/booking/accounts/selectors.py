"""What is read of users."""

from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from booking.accounts.models import User


def signed_in(request: Request) -> User:
    """Who asks. Raises NotAuthenticated where nobody is signed in, whatever the view allows."""
    if not isinstance(request.user, User):
        raise NotAuthenticated
    return request.user
