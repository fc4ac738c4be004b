"""Paths of bookings."""

from django.urls import path

from booking.bookings.views import BookingCancel, BookingDetail, Bookings
from booking.payments.views import BookingPay

urlpatterns = [
    path("", Bookings.as_view(), name="bookings"),
    path("<int:pk>/", BookingDetail.as_view(), name="booking"),
    path("<int:pk>/cancel/", BookingCancel.as_view(), name="booking-cancel"),
    path("<int:pk>/pay/", BookingPay.as_view(), name="booking-pay"),
]
