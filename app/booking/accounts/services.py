"""What is written about users."""

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from booking.accounts.models import User, normalise_email
from booking.core.errors import ApplicationError, refusing


def user_register(*, email: str, name: str, password: str) -> User:
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
        return User.objects.create_user(email=email, name=name, password=password)
