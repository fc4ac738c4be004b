"""Registration and tokens over HTTP."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from booking.accounts.models import User
from booking.accounts.services import user_register
from booking.core.errors import errors


class Registration(serializers.Serializer[Any]):
    """What a new user sends."""

    email = serializers.EmailField(max_length=254)
    name = serializers.CharField(max_length=120)
    password = serializers.CharField(max_length=128, write_only=True, trim_whitespace=False)


class UserOut(serializers.ModelSerializer[User]):
    """A user, to themselves."""

    class Meta:
        model = User
        fields = ("id", "email", "name", "created_at")


class Users(APIView):
    """Registration."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        request=Registration, responses={201: UserOut, **errors(400, 409)}, operation_id="register"
    )
    def post(self, request: Request) -> Response:
        """Register."""
        body = Registration(data=request.data)
        body.is_valid(raise_exception=True)
        return Response(UserOut(user_register(**body.validated_data)).data, status=201)


@extend_schema_view(
    post=extend_schema(
        responses={200: TokenObtainPairSerializer, **errors(400, 401)}, operation_id="token_obtain"
    )
)
class TokenObtain(TokenObtainPairView):
    """An access token (15 minutes) and a refresh token (a day) for an address and its password."""


@extend_schema_view(
    post=extend_schema(
        responses={200: TokenRefreshSerializer, **errors(400, 401)}, operation_id="token_refresh"
    )
)
class TokenRefresh(TokenRefreshView):
    """A new access token for a refresh token."""
