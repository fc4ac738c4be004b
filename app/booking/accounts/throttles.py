"""How often one may try to log in."""

from collections.abc import Mapping
from hashlib import sha256

from django.http import HttpRequest
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.serializers import CharField
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from booking.accounts.models import normalise_email
from booking.accounts.selectors import has_logged_in_from
from booking.core.middleware import client_address
from booking.core.throttles import PerAddress, Windowed


def account_named(request: Request | HttpRequest) -> str | None:
    """The account that a login names, as a client of the API or a form does; None where it names none."""
    data = request.data if isinstance(request, Request) else request.POST
    if not isinstance(data, Mapping):
        return None
    try:  # as the login itself reads it
        return normalise_email(CharField().run_validation(data.get("email", data.get("username"))))
    except ValidationError:
        return None


class Registrations(PerAddress):
    """Registrations of one address."""

    scope = "registration"


class LoginsOfAddress(PerAddress):
    """Logins of one address, to whatever account."""

    scope = "login_address"


class LoginsOfAccount(Windowed):
    """Logins to one account, existing or not, from wherever.

    Whoever keeps trying keeps others out, but not its owner: where the account has logged in from before, the
    limit of the address alone holds.
    """

    scope = "login_account"

    def get_cache_key(self, request: Request | HttpRequest, view: APIView | None) -> str | None:
        """The account's digest: the cache is told no address of a person."""
        account = account_named(request)
        return account and sha256(account.encode()).hexdigest()

    def allow_request(self, request: Request | HttpRequest, view: APIView | None) -> bool:
        """As for every limit, or from a place that the account knows."""
        if super().allow_request(request, view):
            return True
        return has_logged_in_from(email=account_named(request) or "", address=client_address(request))


class LoginThrottle(BaseThrottle):
    """Both limits of logins, for the API and, with view None, for forms; ask `wait` after a refusal.

    One after the other: what the first refuses does not count against the account.
    """

    def allow_request(self, request: Request | HttpRequest, view: APIView | None) -> bool:
        """Whether the attempt may be made; it is counted."""
        for limit in (LoginsOfAddress(), LoginsOfAccount()):
            if not limit.allow_request(request, view):
                self.seconds = limit.wait()
                return False
        return True

    def wait(self) -> float:
        """Seconds until it may be tried again."""
        return self.seconds
