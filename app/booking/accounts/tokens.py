"""Tokens: an access token of minutes, and a refresh token that is good for one use."""

from typing import Any

from django.contrib.auth.signals import user_logged_in
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import (
    TokenBlacklistSerializer,
    TokenObtainPairSerializer,
    TokenRefreshSerializer,
)
from rest_framework_simplejwt.tokens import RefreshToken

from booking.accounts.models import User


class OneUse(RefreshToken):
    """A refresh token of which one use counts, also where several come at once."""

    def blacklist(self) -> Any:
        """Ends the token. Raises TokenError where somebody else has ended it since it was looked at."""
        entry: Any = super().blacklist()  # and whether it is new, whatever the annotation says
        if not entry[1]:
            raise TokenError("Token is blacklisted")
        return entry


class Obtain(TokenObtainPairSerializer):
    """A login."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """The tokens; whoever wants to know of logins is told."""
        tokens = super().validate(attrs)
        user_logged_in.send(sender=User, request=self.context["request"], user=self.user)
        return tokens


class Refresh(TokenRefreshSerializer):
    """A refresh token for a new pair."""

    token_class = OneUse

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """The pair. Raises AuthenticationFailed where its user is gone or no longer active."""
        try:
            return super().validate(attrs)
        except User.DoesNotExist as error:
            raise AuthenticationFailed(
                self.error_messages["no_active_account"], "no_active_account"
            ) from error


class Revoke(TokenBlacklistSerializer):
    """A refresh token that is to be of no use any more."""

    token_class = OneUse
