"""Listings over HTTP."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.permissions import IsAuthenticatedOrReadOnly
from rest_framework.request import Request
from rest_framework.response import Response

from booking.accounts.selectors import signed_in
from booking.core.errors import errors
from booking.listings.models import Listing
from booking.listings.selectors import ListingFilter, listing_list
from booking.listings.services import listing_create


class ListingBody(serializers.ModelSerializer[Listing]):
    """A listing, in and out."""

    class Meta:
        model = Listing
        fields = (
            "id", "host", "title", "description", "place",
            "price_per_night", "currency", "capacity", "created_at",
        )  # fmt: skip
        read_only_fields = ("host",)


class Listings(ListAPIView[Listing]):
    """All listings, and new ones."""

    permission_classes = (IsAuthenticatedOrReadOnly,)
    serializer_class = ListingBody
    filterset_class = ListingFilter
    queryset = listing_list()

    @extend_schema(responses={200: ListingBody(many=True), **errors(400, 404)}, operation_id="listing_list")
    def get(self, request: Request) -> Response:
        """Listings, newest first."""
        return self.list(request)

    @extend_schema(responses={201: ListingBody, **errors(400, 401)}, operation_id="listing_create")
    def post(self, request: Request) -> Response:
        """Offer a place."""
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        listing = listing_create(host=signed_in(request), **body.validated_data)
        return Response(self.get_serializer(listing).data, status=201)


class ListingDetail(RetrieveAPIView[Listing]):
    """One listing."""

    permission_classes = (IsAuthenticatedOrReadOnly,)
    serializer_class = ListingBody
    queryset = listing_list()

    @extend_schema(responses={200: ListingBody, **errors(404)}, operation_id="listing_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        """A listing."""
        return self.retrieve(request, pk=pk)
