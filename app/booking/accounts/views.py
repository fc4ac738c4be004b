"""Users, their tokens and their logins over HTTP."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.serializers import (
    TokenBlacklistSerializer,
    TokenObtainPairSerializer,
    TokenRefreshSerializer,
)
from rest_framework_simplejwt.views import TokenBlacklistView, TokenObtainPairView, TokenRefreshView

from booking.accounts import tokens
from booking.accounts.models import LoginEvent, Role, User
from booking.accounts.selectors import login_list, signed_in
from booking.accounts.services import user_register, user_rename
from booking.accounts.throttles import LoginThrottle, Registrations
from booking.core.errors import errors
from booking.core.schema import answered, sent

ADA = {"email": "ada@example.org", "name": "Ada"}
PASSWORD = "correct horse battery"
REFRESH = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.refresh.signature"
PAIR = {"refresh": REFRESH, "access": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.access.signature"}
PROFILE = {"id": 7, **ADA, "role": "guest", "created_at": "2026-01-01T09:00:00Z"}
LOGIN = {
    "at": "2026-01-01T09:00:00Z", "succeeded": True, "address": "192.0.2.7",
    "agent": "Mozilla/5.0 (X11; Linux x86_64)", "country": "ET",
}  # fmt: skip


class Registration(serializers.Serializer[Any]):
    """What a new user sends."""

    email = serializers.EmailField(max_length=254)
    name = serializers.CharField(max_length=120)
    password = serializers.CharField(max_length=128, write_only=True, trim_whitespace=False)
    role = serializers.ChoiceField(
        choices=[role for role in Role.choices if role[0] != Role.ADMIN], default=Role.HOST.value
    )


class Profile(serializers.Serializer[Any]):
    """What users may change of themselves."""

    name = serializers.CharField(max_length=120)


class UserOut(serializers.ModelSerializer[User]):
    """A user, to themselves."""

    class Meta:
        model = User
        fields = ("id", "email", "name", "role", "created_at")


class LoginOut(serializers.ModelSerializer[LoginEvent]):
    """An attempt to log in, to the user."""

    class Meta:
        model = LoginEvent
        fields = ("at", "succeeded", "address", "agent", "country")


class Users(APIView):
    """Registration."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (Registrations,)

    @extend_schema(
        request=Registration,
        responses={201: UserOut, **errors(400, 409, 429)},
        operation_id="register",
        examples=[sent({**ADA, "password": PASSWORD, "role": "guest"}), answered(PROFILE, 201)],
    )
    def post(self, request: Request) -> Response:
        """Register, as a host unless `role` says otherwise."""
        body = Registration(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(UserOut(user_register(**body.validated_data)).data, status=201)


class Me(APIView):
    """Whoever asks."""

    @extend_schema(responses={200: UserOut, **errors(401)}, operation_id="me", examples=[answered(PROFILE)])
    def get(self, request: Request) -> Response:
        """Who I am."""
        return Response(UserOut(signed_in(request)).data)

    @extend_schema(
        request=Profile,
        responses={200: UserOut, **errors(400, 401)},
        operation_id="me_update",
        examples=[sent({"name": "Ada"}), answered(PROFILE)],
    )
    def patch(self, request: Request) -> Response:
        """Change my name; nothing else of a user changes here."""
        user = signed_in(request)
        body = Profile(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        if body.validated_data:
            user = user_rename(user=user, **body.validated_data)
        return Response(UserOut(user).data)


class Logins(ListAPIView[LoginEvent]):
    """Attempts to log in as whoever asks."""

    serializer_class = LoginOut
    queryset = LoginEvent.objects.none()  # for the schema, which asks without a user

    def get_queryset(self) -> QuerySet[LoginEvent]:
        """Those of whoever asks."""
        return login_list(user=signed_in(self.request))

    @extend_schema(
        responses={200: LoginOut(many=True), **errors(400, 401, 404)},
        operation_id="login_list",
        examples=[answered(LOGIN)],
    )
    def get(self, request: Request) -> Response:
        """My logins and what failed to be one, newest first; kept for 180 days."""
        return self.list(request)


@extend_schema_view(
    post=extend_schema(
        request=TokenObtainPairSerializer,
        responses={200: TokenObtainPairSerializer, **errors(400, 401, 429)},
        operation_id="token_obtain",
        examples=[sent({"email": ADA["email"], "password": PASSWORD}), answered(PAIR)],
    )
)
class TokenObtain(TokenObtainPairView):
    """An access token (15 minutes) and a refresh token (a day) for an address and its password."""

    serializer_class = tokens.Obtain
    throttle_classes = (LoginThrottle,)


@extend_schema_view(
    post=extend_schema(
        request=TokenRefreshSerializer,
        responses={200: TokenRefreshSerializer, **errors(400, 401)},
        operation_id="token_refresh",
        examples=[sent({"refresh": REFRESH}), answered(PAIR)],
    )
)
class TokenRefresh(TokenRefreshView):
    """What keeps somebody logged in."""

    serializer_class = tokens.Refresh

    @transaction.atomic
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A new pair of tokens for a refresh token, which is of no use afterwards."""
        return super().post(request, *args, **kwargs)  # the old one ends as the new one begins, or stays


@extend_schema_view(
    post=extend_schema(
        request=TokenBlacklistSerializer,
        responses={200: OpenApiTypes.OBJECT, **errors(400, 401)},
        operation_id="token_revoke",
        examples=[sent({"refresh": REFRESH}), answered({})],
    )
)
class TokenRevoke(TokenBlacklistView):
    """Log out: the refresh token is of no use afterwards; the access token ends within its 15 minutes."""

    serializer_class = tokens.Revoke
