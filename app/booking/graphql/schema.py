"""GraphQL beside the REST API: the same selectors and services, the same errors, and limits of its own."""

import logging
import re
from dataclasses import make_dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Generic, TypeVar, cast

import strawberry
import strawberry_django
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from django_filters import rest_framework as filters
from graphql import GraphQLError
from rest_framework.exceptions import NotAuthenticated
from strawberry.extensions import (
    DisableIntrospection,
    MaxAliasesLimiter,
    MaxTokensLimiter,
    QueryDepthLimiter,
)

from booking.accounts.models import User
from booking.bookings.models import Booking as BookingRow
from booking.bookings.selectors import booking_list
from booking.bookings.services import booking_cancel, booking_create
from booking.bookings.views import BookingIn
from booking.core.errors import ApplicationError, envelope, exception_handler
from booking.core.pagination import NewestFirst, page_of
from booking.graphql.views import error_of
from booking.listings.models import Listing as ListingRow
from booking.listings.selectors import SHOWN, ListingFilter, listing_list, listing_page, listing_shown

logger = logging.getLogger("booking.graphql")

DEPTH, ALIASES, TOKENS = 5, 10, 500
COST = 200  # of one request: a row costs 1, whether it is there or not, a change 20
CHANGE = 20


class Asking:
    """Who asks, and what they may still ask for in this request."""

    def __init__(self, user: User | AnonymousUser) -> None:
        self.reader = user if isinstance(user, User) else None
        self.left = COST

    def charge(self, cost: int) -> None:
        """Raises ApplicationError 400 too_costly before anything is done for it."""
        self.left -= cost
        if self.left < 0:
            raise ApplicationError(code="too_costly", message=f"A request may cost {COST}.", http_status=400)

    def page(self, limit: int) -> int:
        """The size of a page, charged."""
        if not 1 <= limit <= NewestFirst.max_page_size:
            wrong = [f"1 to {NewestFirst.max_page_size}."]
            raise ApplicationError(
                code="invalid", message="See the fields.", fields={"limit": wrong}, http_status=400
            )
        self.charge(limit)
        return limit

    def user(self) -> User:
        """Who is signed in. Raises NotAuthenticated."""
        if self.reader is None:
            raise NotAuthenticated
        return self.reader


Info = strawberry.Info[Asking, None]
Row = TypeVar("Row")
KINDS: dict[Any, Any] = {filters.NumberFilter: Decimal, filters.DateFilter: date}
Filters = strawberry.input(
    make_dataclass(
        "Filters",
        [(name, KINDS.get(type(one), str) | None, None) for name, one in ListingFilter.base_filters.items()],
    ),
    description="As the API has them.",
)


@strawberry_django.type(ListingRow, fields=list(SHOWN), exclude=["host"])
class Listing:
    """A place, its price a night and how many guests it takes."""

    host_id: strawberry.ID
    status: str
    currency: str


@strawberry_django.type(ListingRow, fields=["id", "title", "place"])
class BookedListing:
    """What a booking says of its listing."""


@strawberry_django.type(
    BookingRow,
    fields=["id", "check_in", "check_out", "guests", "price_per_night", "price_total", "created_at"],
)
class Booking:
    """A stay, from the night of checkIn to the morning of checkOut, at a frozen price."""

    listing: BookedListing
    status: str
    currency: str


@strawberry.type
class Page(Generic[Row]):
    """Some of many; `next` and `previous` are the cursors of what is beside them."""

    results: list[Row]
    next: str | None
    previous: str | None


def key(number: str) -> int:
    """A primary key. Raises Http404 for what is none."""
    if re.fullmatch("[0-9]{1,18}", number):
        return int(number)
    raise Http404


def listing_of(row: dict[str, Any]) -> Listing:
    """A listing, of what is shown of it."""
    return cast(
        Listing, ListingRow(host_id=row["host"], **{name: row[name] for name in SHOWN if name != "host"})
    )


@strawberry.type
class Query:
    """What can be read."""

    @strawberry.field
    def listings(
        self,
        info: Info,
        filters: Filters | None = None,  # type: ignore[valid-type]
        cursor: str | None = None,
        limit: int = NewestFirst.page_size,
    ) -> Page[Listing]:
        """What is on offer, or what is mine."""
        given = {"cursor": cursor, **(vars(filters) if filters else {})}
        asked = {name: str(value) for name, value in given.items() if value is not None}
        reader = info.context.user() if asked.get("mine") == "true" else None
        page = listing_page(asked=asked, size=info.context.page(limit), reader=reader)
        return Page(results=[listing_of(row) for row in page.rows], next=page.next, previous=page.previous)

    @strawberry.field
    def listing(self, info: Info, id: strawberry.ID) -> Listing:
        """One listing."""
        info.context.charge(1)
        return listing_of(listing_shown(listing_list(reader=info.context.reader), pk=key(id)))

    @strawberry.field
    def my_bookings(
        self, info: Info, cursor: str | None = None, limit: int = NewestFirst.page_size
    ) -> Page[Booking]:
        """My bookings, newest first."""
        mine = booking_list(guest=info.context.user())
        page = page_of(mine, order="-id", cursor=cursor, size=info.context.page(limit))
        return Page(results=page.rows, next=page.next, previous=page.previous)


@strawberry.type
class Mutation:
    """What can be done."""

    @strawberry.mutation
    def book(
        self, info: Info, listing: strawberry.ID, check_in: date, check_out: date, guests: int
    ) -> Booking:
        """Book a stay."""
        info.context.charge(CHANGE)
        guest = info.context.user()
        stay = {"listing": listing, "check_in": check_in, "check_out": check_out, "guests": guests}
        body = BookingIn(data=stay)
        body.is_valid(raise_exception=True)
        return booking_create(guest=guest, **body.validated_data)  # type: ignore[return-value]

    @strawberry.mutation
    def cancel(self, info: Info, id: strawberry.ID) -> Booking:
        """Cancel one of my bookings; doing it twice does no harm."""
        info.context.charge(CHANGE)
        try:
            return booking_cancel(guest=info.context.user(), booking=key(id))  # type: ignore[return-value]
        except BookingRow.DoesNotExist as error:
            raise Http404 from error


class Schema(strawberry.Schema):
    """A schema that logs nothing by itself: most errors are the asker's."""

    def process_errors(self, errors: list[GraphQLError], execution_context: Any = None) -> None:
        """Nothing; see `told`."""


schema = Schema(
    query=Query,
    mutation=Mutation,
    extensions=[
        lambda: QueryDepthLimiter(max_depth=DEPTH),
        lambda: MaxAliasesLimiter(max_alias_count=ALIASES),
        lambda: MaxTokensLimiter(max_token_count=TOKENS),
        *([] if settings.DEBUG else [DisableIntrospection]),
    ],
)


def told(error: GraphQLError) -> dict[str, Any]:
    """An error as it is answered; a defect says nothing of itself, and is in the log."""
    cause = error.original_error
    if error.path is None or cause is None:  # the question was not understood, and nothing was done
        message = error.message.split(" Did you mean")[0]  # names what introspection would
        return error_of(envelope(code="invalid", message=message)["error"])
    answer = exception_handler(cause, {})
    if answer is None:
        logger.error("a defect", exc_info=cause)
        inside = envelope(code="server_error", message="The service failed; quote the X-Request-Id.")["error"]
    else:
        inside = answer.data["error"]
    return {**error_of(inside), "path": error.path}


def execute(
    query: str, *, user: User | AnonymousUser, variables: dict[str, Any] | None, operation: str | None
) -> dict[str, Any]:
    """{"data"}, {"errors"} or both; never raises for what the question says."""
    result = schema.execute_sync(
        query, variable_values=variables, context_value=Asking(user), operation_name=operation
    )
    errors = {"errors": [told(error) for error in result.errors]} if result.errors else {}
    nothing = result.data is None and all("path" not in error for error in errors.get("errors", []))
    return errors if nothing else {"data": result.data, **errors}
