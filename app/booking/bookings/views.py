"""Bookings over HTTP."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from booking.accounts.models import User
from booking.accounts.selectors import signed_in
from booking.bookings.idempotency import KEY, once
from booking.bookings.models import Booking
from booking.bookings.selectors import booking_list, hosting_list
from booking.bookings.services import booking_cancel, booking_create
from booking.core.errors import errors
from booking.core.schema import answered, sent
from booking.listings.models import Listing
from booking.payments.views import PAID, PaymentOut

BIGGEST_ID = 2**63 - 1
BIGGEST_SMALL = 2**15 - 1

STAY = {"check_in": "2030-06-01", "check_out": "2030-06-03", "guests": 2}
BOOKED = {
    "id": 7, "listing": {"id": 7, "title": "Flat by the lake", "place": "Bahir Dar"}, **STAY,
    "status": "confirmed", "expires_at": None, "price_per_night": "1200.00", "price_total": "2400.00",
    "currency": "ETB", "created_at": "2030-05-01T08:29:00Z",
}  # fmt: skip


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
        fields: tuple[str, ...] = (
            "id", "listing", "check_in", "check_out", "guests", "status", "expires_at",
            "price_per_night", "price_total", "currency", "created_at",
        )  # fmt: skip


class BookingDetailOut(BookingOut):
    """A booking with its latest payment."""

    payment = serializers.SerializerMethodField()

    class Meta(BookingOut.Meta):
        fields = (*BookingOut.Meta.fields, "payment")

    @extend_schema_field(PaymentOut(allow_null=True))
    def get_payment(self, booking: Booking) -> dict[str, Any] | None:
        """What has become of the guest's paying; null where it was never begun."""
        payment = booking.payments.order_by("-pk").first()
        return dict(PaymentOut(payment).data) if payment else None


class BookingGuest(serializers.ModelSerializer[User]):
    """What a host is told of a guest."""

    class Meta:
        model = User
        fields = ("id", "name")


class HostedBooking(BookingOut):
    """A booking, to its host."""

    guest = BookingGuest()

    class Meta(BookingOut.Meta):
        fields = (*BookingOut.Meta.fields, "guest")


class Bookings(ListAPIView[Booking]):
    """The guest's own bookings, and new ones."""

    serializer_class = BookingOut
    filterset_fields = ("status",)
    queryset = Booking.objects.none()  # for the schema, which asks without a user

    def get_queryset(self) -> QuerySet[Booking]:
        """The bookings of whoever asks."""
        return booking_list(guest=signed_in(self.request))

    @extend_schema(
        responses={200: BookingOut(many=True), **errors(400, 401, 404)},
        operation_id="booking_list",
        examples=[answered(BOOKED)],
    )
    def get(self, request: Request) -> Response:
        """My bookings, newest first."""
        return self.list(request)

    @extend_schema(
        request=BookingIn,
        parameters=[KEY],
        examples=[sent({"listing": 7, **STAY}), answered(BOOKED, 201)],
        responses={201: BookingOut, **errors(400, 401, 409, 422)},
        operation_id="booking_create",
    )
    def post(self, request: Request) -> Response:
        """Book a stay: confirmed at once, or pending until `expires_at` where it is to be paid online."""
        body = BookingIn(data=request.data)
        body.is_valid(raise_exception=True)
        guest, stay = signed_in(request), body.validated_data

        def act() -> dict[str, Any]:
            return dict(BookingOut(booking_create(guest=guest, **stay)).data)

        key = request.headers.get("Idempotency-Key")
        return Response(once(user=guest, key=key, asked=stay, act=act), status=201)


class Hosting(ListAPIView[Booking]):
    """The bookings that a host has."""

    serializer_class = HostedBooking
    filterset_fields = ("status",)
    queryset = Booking.objects.none()  # for the schema, which asks without a user

    def get_queryset(self) -> QuerySet[Booking]:
        """The bookings of the places of whoever asks."""
        return hosting_list(host=signed_in(self.request))

    @extend_schema(
        responses={200: HostedBooking(many=True), **errors(400, 401, 404)},
        operation_id="hosting_list",
        examples=[answered({**BOOKED, "guest": {"id": 7, "name": "Ada"}})],
    )
    def get(self, request: Request) -> Response:
        """Bookings of my places, newest first."""
        return self.list(request)


class BookingDetail(RetrieveAPIView[Booking]):
    """One of the guest's bookings."""

    serializer_class = BookingDetailOut
    queryset = Booking.objects.none()  # for the schema, which asks without a user

    def get_queryset(self) -> QuerySet[Booking]:
        """The bookings of whoever asks."""
        return booking_list(guest=signed_in(self.request))

    @extend_schema(
        responses={200: BookingDetailOut, **errors(401, 404)},
        operation_id="booking_retrieve",
        examples=[answered({**BOOKED, "payment": PAID})],
    )
    def get(self, request: Request, pk: int) -> Response:
        """One of my bookings."""
        return self.retrieve(request, pk=pk)


class BookingCancel(APIView):
    """The end of a booking."""

    @extend_schema(
        request=None,
        responses={200: BookingOut, **errors(401, 404, 409)},
        operation_id="booking_cancel",
        examples=[answered({**BOOKED, "status": "cancelled"})],
    )
    def post(self, request: Request, pk: int) -> Response:
        """Cancel one of my bookings; doing it twice does no harm, and what was paid is given back."""
        try:
            booking = booking_cancel(guest=signed_in(request), booking=pk)
        except Booking.DoesNotExist as error:
            raise Http404 from error
        return Response(BookingOut(booking).data)
