"""Paths of listings."""

from django.urls import path

from booking.listings.views import Availability, ListingDetail, Listings

urlpatterns = [
    path("", Listings.as_view(), name="listings"),
    path("<int:pk>/", ListingDetail.as_view(), name="listing"),
    path("<int:pk>/availability/", Availability.as_view(), name="availability"),
]
