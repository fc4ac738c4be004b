"""Paths of users and tokens."""

from django.urls import path

from booking.accounts.views import Logins, Me, TokenObtain, TokenRefresh, TokenRevoke, Users

urlpatterns = [
    path("users/", Users.as_view(), name="users"),
    path("users/me/", Me.as_view(), name="me"),
    path("users/me/logins/", Logins.as_view(), name="logins"),
    path("token/", TokenObtain.as_view(), name="token"),
    path("token/refresh/", TokenRefresh.as_view(), name="token-refresh"),
    path("token/revoke/", TokenRevoke.as_view(), name="token-revoke"),
]
