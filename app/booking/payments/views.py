"""Payments over HTTP: the guest who pays, and the provider who tells."""

import logging
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from booking.accounts.selectors import signed_in
from booking.bookings.models import Booking
from booking.bookings.selectors import booking_list
from booking.core.errors import ApplicationError, TooLarge, errors
from booking.core.schema import answered, asked, sent
from booking.payments.chapa import signed
from booking.payments.models import Payment
from booking.payments.services import payment_open, payment_settle

logger = logging.getLogger("booking.payments")

PAID = {
    "reference": "booking-7-5f2b9c1e0d3a4b68", "status": "paid", "amount": "2400.00", "currency": "ETB",
    "created_at": "2030-05-01T08:30:00Z",
}  # fmt: skip
CHECKOUT = "https://checkout.chapa.co/checkout/payment/V38JyhpTygC9QimkJrdful9oEjih0"
SIGNATURE = OpenApiParameter(
    "x-chapa-signature",
    {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    OpenApiParameter.HEADER,
    required=True,
    description="HMAC-SHA256 of the body with the secret of the webhook, in hexadecimal.",
    examples=asked("5f2b9c1e0d3a4b68" * 4),
)
REFERENCE = OpenApiParameter(
    "trx_ref",
    {"type": "string", "minLength": 1, "maxLength": 64},
    required=True,
    examples=asked(PAID["reference"]),
)

LARGEST = 16 * 1024  # bytes of a webhook; Chapa's have less than one thousand


class PaymentOut(serializers.ModelSerializer[Payment]):
    """A payment, to its guest."""

    class Meta:
        model = Payment
        fields = ("reference", "status", "amount", "currency", "created_at")


class CheckoutOut(serializers.Serializer[Any]):
    """Where to pay, and what."""

    checkout_url = serializers.URLField()
    payment = PaymentOut()


class TellsIn(serializers.Serializer[Any]):
    """What is read of a webhook: everything else is asked for."""

    tx_ref = serializers.CharField(max_length=64)


class TellsOut(serializers.Serializer[Any]):
    """How the payment stands now; "unknown" for one that is not ours."""

    payment = serializers.CharField()


class BookingPay(APIView):
    """The payment of a booking."""

    @extend_schema(
        request=None,
        responses={200: CheckoutOut, **errors(401, 404, 409, 503)},
        operation_id="booking_pay",
        examples=[answered({"checkout_url": CHECKOUT, "payment": {**PAID, "status": "open"}})],
    )
    def post(self, request: Request, pk: int) -> Response:
        """Where to pay for one of my pending bookings; asked again, the same."""
        try:
            booking = booking_list(guest=signed_in(request)).get(pk=pk)
        except Booking.DoesNotExist as error:
            raise Http404 from error
        payment = payment_open(booking=booking)
        return Response(CheckoutOut({"checkout_url": payment.checkout_url, "payment": payment}).data)


class ChapaWebhook(APIView):
    """What Chapa tells of a payment; believed of it is only that there is something to be asked."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        request=TellsIn,
        parameters=[SIGNATURE],
        responses={200: TellsOut, **errors(400, 403, 413, 503)},
        operation_id="chapa_webhook",
        examples=[sent({"tx_ref": PAID["reference"]}), answered({"payment": "paid"})],
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """A signed event, as often and in whatever order they come; 503 has it sent again."""
        if len(request.body) > LARGEST:
            raise TooLarge
        if not signed(request.body, request.headers.get("x-chapa-signature", "")):
            raise ApplicationError(
                code="bad_signature", message="The x-chapa-signature is missing or wrong.", http_status=403
            )
        return self.settle(request.data)

    @extend_schema(
        parameters=[REFERENCE],
        responses={200: TellsOut, **errors(400, 503)},
        operation_id="chapa_callback",
        examples=[answered({"payment": "paid"})],
        auth=[],
    )
    def get(self, request: Request) -> Response:
        """The callback of a checkout, which nobody signs; it leads to the same question."""
        return self.settle({"tx_ref": request.query_params.get("trx_ref")})

    def settle(self, told: Any) -> Response:
        """Asks Chapa about the payment that was named."""
        body = TellsIn(data=told)
        body.is_valid(raise_exception=True)
        reference = body.validated_data["tx_ref"]
        try:
            status = payment_settle(reference=reference).status
        except Payment.DoesNotExist:
            # Of another system with the same account: to refuse it would only have it sent again.
            logger.warning("Chapa tells of a payment that is not ours", extra={"reference": reference})
            status = "unknown"
        return Response(TellsOut({"payment": status}).data)
