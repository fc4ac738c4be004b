"""Users, who log in by e-mail address."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower


def normalise_email(email: str) -> str:
    """Addresses are stored and compared in lower case: nobody owns both Ada@ and ada@."""
    return email.strip().lower()


class UserManager(BaseUserManager["User"]):
    """Creates users and finds them by their normalised address."""

    def create_user(self, *, email: str, password: str | None = None, **fields: Any) -> "User":
        """A stored user; without a password one that cannot log in."""
        user = self.model(email=normalise_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, *, email: str, password: str | None = None, **fields: Any) -> "User":
        """A user with every permission, for `manage.py createsuperuser`."""
        return self.create_user(
            email=email, password=password, is_staff=True, is_superuser=True, role=Role.ADMIN, **fields
        )

    def get_by_natural_key(self, username: str | None) -> "User":
        """The user of an address. Raises User.DoesNotExist."""
        return self.get(email=normalise_email(username or ""))


class Role(models.TextChoices):
    """What a user may do: each role may do what those before it may."""

    GUEST = "guest", "books places"
    HOST = "host", "lists places as well"
    ADMIN = "admin", "sees and changes what is everybody's"


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who lists places, books them, or both."""

    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=120)
    # Releases that knew no roles let everybody list places: what they write, or leave out, is a host.
    role = models.CharField(max_length=8, choices=Role.choices, db_default=Role.HOST)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    objects = UserManager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="accounts_user_email_lower_case"
            ),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="accounts_user_role_known"),
        )

    def __str__(self) -> str:
        return self.email

    @property
    def is_admin(self) -> bool:
        """Whether everything is theirs to see and change; superusers of releases that knew no roles are."""
        return self.role == Role.ADMIN or self.is_superuser

    @property
    def is_host(self) -> bool:
        """Whether they may list places."""
        return self.role == Role.HOST or self.is_admin


class LoginEvent(models.Model):
    """An attempt to log in with a user's address: from where, with what, and whether it succeeded."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="logins")
    at = models.DateTimeField(auto_now_add=True, db_index=True)
    succeeded = models.BooleanField()
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=200, blank=True)
    country = models.CharField(max_length=2, blank=True)  # ISO 3166-1, where a GeoIP database is configured

    def __str__(self) -> str:
        return f"{self.user_id} at {self.at}"
