"""Bookings over HTTP."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from booking.accounts.selectors import signed_in
from booking.bookings.models import Booking
from booking.bookings.selectors import booking_list
from booking.bookings.services import booking_cancel, booking_create
from booking.core.errors import errors
from booking.listings.models import Listing

BIGGEST_ID = 2**63 - 1
BIGGEST_SMALL = 2**15 - 1


class BookingIn(serializers.Serializer[Any]):
    """What a guest sends."""

    listing = serializers.IntegerField(min_value=1, max_value=BIGGEST_ID)
    check_in = serializers.DateField()
    check_out = serializers.DateField()
    guests = serializers.IntegerField(min_value=1, max_value=BIGGEST_SMALL)


class BookedListing(serializers.ModelSerializer[Listing]):
    """What a booking says of its listing."""

    class Meta:
        model = Listing
        fields = ("id", "title", "place")


class BookingOut(serializers.ModelSerializer[Booking]):
    """A booking, to its guest."""

    listing = BookedListing()

    class Meta:
        model = Booking
        fields = (
            "id", "listing", "check_in", "check_out", "guests", "status",
            "price_per_night", "price_total", "currency", "created_at",
        )  # fmt: skip


class Bookings(ListAPIView[Booking]):
    """The guest's own bookings, and new ones."""

    serializer_class = BookingOut
    queryset = Booking.objects.none()  # for the schema, which asks without a user

    def get_queryset(self) -> QuerySet[Booking]:
        """The bookings of whoever asks."""
        return booking_list(guest=signed_in(self.request))

    @extend_schema(responses={200: BookingOut(many=True), **errors(401, 404)}, operation_id="booking_list")
    def get(self, request: Request) -> Response:
        """My bookings, newest first."""
        return self.list(request)

    @extend_schema(
        request=BookingIn, responses={201: BookingOut, **errors(400, 401, 409)}, operation_id="booking_create"
    )
    def post(self, request: Request) -> Response:
        """Book a stay."""
        body = BookingIn(data=request.data)
        body.is_valid(raise_exception=True)
        booking = booking_create(guest=signed_in(request), **body.validated_data)
        return Response(BookingOut(booking).data, status=201)


class BookingCancel(APIView):
    """The end of a booking."""

    @extend_schema(
        request=None, responses={200: BookingOut, **errors(401, 404, 409)}, operation_id="booking_cancel"
    )
    def post(self, request: Request, pk: int) -> Response:
        """Cancel one of my bookings; doing it twice does no harm."""
        try:
            booking = booking_cancel(guest=signed_in(request), booking=pk)
        except Booking.DoesNotExist as error:
            raise Http404 from error
        return Response(BookingOut(booking).data)
