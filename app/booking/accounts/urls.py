"""Paths of users and tokens."""

from django.urls import path

from booking.accounts.views import TokenObtain, TokenRefresh, Users

urlpatterns = [
    path("users/", Users.as_view(), name="users"),
    path("token/", TokenObtain.as_view(), name="token"),
    path("token/refresh/", TokenRefresh.as_view(), name="token-refresh"),
]
