"""Paths of listings."""

from django.urls import path

from booking.listings.views import ListingDetail, Listings

urlpatterns = [
    path("", Listings.as_view(), name="listings"),
    path("<int:pk>/", ListingDetail.as_view(), name="listing"),
]
