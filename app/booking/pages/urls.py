"""Paths of the pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from booking.pages import views

urlpatterns = [
    path("", views.places, name="places"),
    path("places/<int:pk>/", views.place, name="place"),
    path("stays/", views.stays, name="stays"),
    path("stays/<int:pk>/", views.stay, name="stay"),
    path("stays/<int:pk>/pay/", views.pay, name="stay-pay"),
    path("stays/<int:pk>/cancel/", views.cancel, name="stay-cancel"),
    path("report/", views.report, name="report"),
    path("register/", views.register, name="register"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
