"""Paths of bookings."""

from django.urls import path

from booking.bookings.views import BookingCancel, Bookings

urlpatterns = [
    path("", Bookings.as_view(), name="bookings"),
    path("<int:pk>/cancel/", BookingCancel.as_view(), name="booking-cancel"),
]
