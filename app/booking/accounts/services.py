"""What is written about users."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.http import HttpRequest
from django.utils import timezone

from booking.accounts.countries import country_of
from booking.accounts.models import LoginEvent, Role, User, normalise_email
from booking.core.errors import ApplicationError, refusing
from booking.core.middleware import client_address, user_agent

LOGIN_EVENT_DAYS = 180


def user_register(*, email: str, name: str, password: str, role: str = Role.HOST) -> User:
    """A new user. Raises ApplicationError: 400 weak_password, 409 email_taken."""
    try:
        validate_password(password, user=User(email=normalise_email(email), name=name))
    except ValidationError as error:
        raise ApplicationError(
            code="weak_password",
            message="Choose another password.",
            fields={"password": error.messages},
            http_status=400,
        ) from error
    taken = ApplicationError(
        code="email_taken", message="This address is registered.", fields={"email": ["Registered already."]}
    )
    with refusing({"accounts_user_email_key": taken}):
        return User.objects.create_user(email=email, name=name, password=password, role=role)


def user_rename(*, user: User, name: str) -> User:
    """The user by another name."""
    user.name = name
    user.save(update_fields=["name"])
    return user


def login_note(*, user: User, succeeded: bool, request: HttpRequest | None) -> None:
    """Keeps an attempt to log in as `user`; from nowhere where there was no request."""
    address = client_address(request) if request else None
    LoginEvent.objects.create(
        user=user,
        succeeded=succeeded,
        address=address,
        agent=user_agent(request) if request else "",
        country=country_of(address),
    )


def logged_in(*, user: User, request: HttpRequest | None = None, **signal: Any) -> None:
    """Receives Django's `user_logged_in`, from the API, the pages and the admin alike."""
    login_note(user=user, succeeded=True, request=request)


def login_failed(*, credentials: dict[str, Any], request: HttpRequest | None = None, **signal: Any) -> None:
    """Receives Django's `user_login_failed`; of an account that does not exist nothing is kept."""
    named = str(credentials.get("email") or credentials.get("username") or "")
    if user := User.objects.filter(email=normalise_email(named)).first():
        login_note(user=user, succeeded=False, request=request)


def accounts_prune() -> int:
    """Deletes old attempts to log in, and tokens and sessions that have expired; the number of attempts."""
    old = LoginEvent.objects.filter(at__lt=timezone.now() - timedelta(days=LOGIN_EVENT_DAYS))
    deleted, _ = old.delete()
    call_command("flushexpiredtokens")
    call_command("clearsessions")
    return deleted
