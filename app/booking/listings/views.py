"""Listings over HTTP."""

import json
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from drf_spectacular.utils import (
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
    extend_schema_serializer,
)
from rest_framework import serializers
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from booking.accounts.models import User
from booking.accounts.permissions import IsHostOrReadOnly, IsOwnerOrReadOnly
from booking.accounts.selectors import signed_in
from booking.bookings.idempotency import KEY, once
from booking.bookings.selectors import nights_taken
from booking.core.errors import errors
from booking.core.pagination import NewestFirst, link
from booking.core.schema import answered, asked, sent
from booking.listings.cache import kept
from booking.listings.models import Listing, Status
from booking.listings.selectors import SHOWN, ListingFilter, listing_list, listing_page, listing_shown
from booking.listings.services import listing_create, listing_update

ASKED = {*ListingFilter.base_filters, "cursor", "page_size"}  # what a list may be asked; the rest is left out
DAYS_MAXIMUM = 366  # of a calendar


FLAT = {
    "title": "Flat by the lake", "description": "Two rooms, a kitchen, a balcony.", "place": "Bahir Dar",
    "price_per_night": "1200.00", "currency": "ETB", "capacity": 3, "status": "published",
}  # fmt: skip
LISTED = {"id": 7, "host": 3, **FLAT, "created_at": "2030-05-01T08:29:00Z"}
WORD = {"type": "string", "maxLength": 120}
PRICE = {"type": "number", "minimum": -99999999.99, "maximum": 99999999.99}
FILTERS = {  # what the filters do not tell the schema themselves
    "search": WORD, "place": WORD, "price_min": PRICE, "price_max": PRICE,
    "guests": {"type": "integer", "minimum": 1},
}  # fmt: skip
NOBODY_TOO: Any = [{"jwtAuth": []}, {}]  # one may sign in, or not; the annotations know names alone


@extend_schema_field({"type": "string", "format": "decimal", "pattern": r"^[1-9][0-9]{0,7}(\.[0-9]{1,2})?$"})
class Price(serializers.DecimalField):
    """The price of a night: at least 1, with two decimals."""


@extend_schema_serializer(examples=[sent(FLAT), answered(LISTED), answered(LISTED, 201)])
class ListingBody(serializers.ModelSerializer[Listing]):
    """A listing, in and out; a hidden one is seen by its host and by admins alone, and cannot be booked."""

    price_per_night = Price(max_digits=10, decimal_places=2, min_value=1)
    status = serializers.ChoiceField(choices=Status.choices, required=False)

    class Meta:
        model = Listing
        fields = SHOWN
        read_only_fields = ("host",)


class Span(serializers.Serializer[Any]):
    """The two ends of a calendar."""

    to = serializers.DateField()

    def get_fields(self) -> dict[str, Any]:
        """With the one whose name is a word of Python's."""
        return {"from": serializers.DateField(), **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """In their order, and not too far apart."""
        if not 0 < (attrs["to"] - attrs["from"]).days <= DAYS_MAXIMUM:
            raise serializers.ValidationError(
                {"to": f"Give a day that is 1 to {DAYS_MAXIMUM} days after from."}
            )
        return attrs


class Stay(serializers.Serializer[Any]):
    """Nights that are taken; the day of check-out is free for the next guest."""

    check_in, check_out = serializers.DateField(), serializers.DateField()


class Calendar(serializers.Serializer[Any]):
    """When a place is taken."""

    taken = Stay(many=True)


class Encoder(JSONEncoder):
    """The framework's, with prices as texts, as its serializers write them: a float is no money."""

    def default(self, obj: Any) -> Any:
        """What stands for `obj`."""
        return str(obj) if isinstance(obj, Decimal) else super().default(obj)


def as_json(body: Any) -> bytes:
    """The bytes of an answer."""
    return json.dumps(body, cls=Encoder, ensure_ascii=False, separators=(",", ":")).encode()


def answer(body: bytes, status: int = 200) -> HttpResponse:
    """An answer that is JSON already."""
    return HttpResponse(body, status=status, content_type="application/json")


class Listings(ListAPIView[Listing]):
    """All listings, and new ones."""

    permission_classes = (IsHostOrReadOnly,)
    serializer_class = ListingBody
    filterset_class = ListingFilter
    pagination_class = NewestFirst
    queryset = listing_list()

    @extend_schema(
        responses={200: ListingBody(many=True), **errors(400, 401, 404)},
        operation_id="listing_list",
        parameters=[
            OpenApiParameter(name, kind, description=str(ListingFilter.base_filters[name].label))
            for name, kind in FILTERS.items()
        ],
        auth=NOBODY_TOO,
    )
    def get(self, request: Request) -> HttpResponse:  # type: ignore[override]
        """Listings that are on offer."""
        asked = {
            name: value for name, value in sorted(request.query_params.items()) if value and name in ASKED
        }
        reader = signed_in(request) if asked.get("mine") == "true" else None
        address = request.build_absolute_uri(f"?{urlencode(asked)}")
        size = NewestFirst().get_page_size(request)

        def read() -> bytes:
            page = listing_page(asked=asked, size=size, reader=reader)
            links = {"next": link(address, page.next), "previous": link(address, page.previous)}
            return as_json({**links, "results": page.rows})

        # What is free changes with every booking, and what is somebody's own is shown to nobody else.
        alone = reader or "check_in" in asked or "check_out" in asked
        return answer(read() if alone else kept(address, read))

    @extend_schema(
        parameters=[KEY],
        responses={201: ListingBody, **errors(400, 401, 403, 422)},
        operation_id="listing_create",
    )
    def post(self, request: Request) -> HttpResponse:
        """Offer a place."""
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        host, place = signed_in(request), body.validated_data

        def act() -> dict[str, Any]:
            listing = listing_create(host=host, **place)
            return dict(json.loads(as_json(listing_shown(Listing.objects.all(), pk=listing.pk))))

        key = request.headers.get("Idempotency-Key")
        return answer(as_json(once(user=host, key=key, asked=place, act=act)), status=201)


class Visible(GenericAPIView[Listing]):
    """One of the listings that whoever asks may see."""

    serializer_class = ListingBody
    queryset = listing_list()

    def get_queryset(self) -> QuerySet[Listing]:
        """Those."""
        return listing_list(reader=self.request.user if isinstance(self.request.user, User) else None)


class ListingDetail(Visible):
    """One listing."""

    permission_classes = (IsHostOrReadOnly, IsOwnerOrReadOnly)

    @extend_schema(
        responses={200: ListingBody, **errors(404)}, operation_id="listing_retrieve", auth=NOBODY_TOO
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        """A listing."""
        try:
            body = kept(f"listing {pk}", lambda: as_json(listing_shown(listing_list(), pk=pk)))
        except Http404:  # or hidden
            body = as_json(listing_shown(self.get_queryset(), pk=pk))
        return answer(body)

    @extend_schema(responses={200: ListingBody, **errors(400, 401, 403, 404)}, operation_id="listing_update")
    def patch(self, request: Request, pk: int) -> HttpResponse:
        """Change what is given of a listing of mine."""
        listing = self.get_object()
        body = self.get_serializer(listing, data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        listing_update(listing=listing, **body.validated_data)
        return answer(as_json(listing_shown(Listing.objects.all(), pk=pk)))


class Availability(Visible):
    """When a listing is taken."""

    permission_classes = (AllowAny,)

    @extend_schema(
        parameters=[
            OpenApiParameter("from", date, required=True, examples=asked("2030-06-01")),
            OpenApiParameter("to", date, required=True, examples=asked("2030-07-01")),
        ],
        responses={200: Calendar, **errors(400, 404)},
        operation_id="listing_availability",
        examples=[answered({"taken": [{"check_in": "2030-06-01", "check_out": "2030-06-03"}]})],
    )
    def get(self, request: Request, pk: int) -> Response:
        """The stays that hold a night of a span."""
        span = Span(data=request.query_params)
        span.is_valid(raise_exception=True)
        first, last = span.validated_data["from"], span.validated_data["to"]
        stays = nights_taken(listing=self.get_object(), first=first, last=last)
        taken = [{"check_in": check_in, "check_out": check_out} for check_in, check_out in stays]
        return Response({"taken": taken})
