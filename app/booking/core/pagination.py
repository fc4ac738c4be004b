"""Pagination by keyset: a page costs the same wherever it is, and does not shift while rows arrive."""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode

from django.db.models import DecimalField, F, Func, Model, QuerySet, TextField, Value
from django.db.models.lookups import GreaterThan, LessThan
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.fields import IntegerField
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

WHOLE, MONEY = "([0-9]{1,18})", r"([0-9]{1,8}\.[0-9]{2})"  # what a column of ours holds, and no more


@dataclass(frozen=True)
class Page:
    """Rows, and the cursors of the pages after and before them; None where there is none."""

    rows: list[Any]
    next: str | None
    previous: str | None


def page_of(rows: QuerySet[Any, Any], *, order: str, cursor: str | None, size: int) -> Page:
    """`size` of `rows` from `cursor` on, by the column `order` ("-" before it: falling) and then by id.

    The order and the place in it are one comparison of rows, (column, id) > (value, id), which an index on
    both columns answers, however many rows share a value. Raises NotFound for a cursor that no page of this
    order has given out.
    """
    column, falling = order.removeprefix("-"), order.startswith("-")
    columns = ["id"] if column == "id" else [column, "id"]
    backwards, position = decode(cursor, columns, rows.model) if cursor else (False, [])
    down = falling != backwards
    if position:
        # Only here so that Django makes them; what is compared are rows of columns.
        here, there = (
            Func(*of, function="ROW", output_field=TextField()) for of in (map(F, columns), position)
        )
        rows = rows.filter((LessThan if down else GreaterThan)(here, there))
    found = list(rows.order_by(*(f"-{name}" if down else name for name in columns))[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    if not found:
        return Page([], None, None)
    first, last = (
        ",".join(str(row[name] if isinstance(row, Mapping) else getattr(row, name)) for name in columns)
        for row in (found[0], found[-1])
    )
    after, before = (True, more) if backwards else (more, bool(position))
    return Page(found, encode(p=last) if after else None, encode(r="1", p=first) if before else None)


def encode(**parts: str) -> str:
    """A cursor, in the form that the framework and earlier releases give theirs."""
    return b64encode(urlencode(parts).encode()).decode()


def decode(cursor: str, columns: list[str], model: type[Model]) -> tuple[bool, list[Value]]:
    """Whether a cursor leads backwards, and the values of `columns` where it stands. Raises NotFound."""
    kinds = (MONEY if isinstance(model._meta.get_field(name), DecimalField) else WHOLE for name in columns)
    try:
        parts = parse_qs(b64decode(cursor.encode("ascii")).decode("ascii"))
    except ValueError as error:
        raise NotFound(CursorPagination.invalid_cursor_message) from error
    position = re.fullmatch(",".join(kinds), parts.get("p", [""])[0])
    if not position or (way := parts.get("r", ["0"])[0]) not in ("0", "1"):
        raise NotFound(CursorPagination.invalid_cursor_message)
    return way == "1", [Value(Decimal(text) if "." in text else int(text)) for text in position.groups()]


class NewestFirst(CursorPagination):
    """Pages of a view, newest rows first; `page_size` of 1 to 100 (who asks for more gets 100), else 20."""

    ordering = "-id"
    page_size = 20
    max_page_size = 100
    page_size_query_param = "page_size"

    def get_page_size(self, request: Request) -> int:
        """How many rows are asked for. Raises ValidationError for what is no such number."""
        asked = request.query_params.get(self.page_size_query_param) or self.page_size
        try:
            size: int = IntegerField(min_value=1).run_validation(asked)
        except ValidationError as error:
            raise ValidationError({self.page_size_query_param: error.detail}) from error
        return min(size, self.max_page_size)

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        """The parameters as they are in the schema."""
        cursor, size = super().get_schema_operation_parameters(view)
        cursor["description"] = "Where a page begins: what `next` and `previous` of another page say."
        size["description"] = f"Rows of a page; who asks for more than {self.max_page_size} gets so many."
        size["schema"] = {"type": "integer", "minimum": 1, "default": self.page_size}
        return [cursor, size]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """An answer as it is in the schema."""
        described = super().get_paginated_response_schema(schema)
        for name, cursor in (("next", encode(p="7")), ("previous", encode(r="1", p="26"))):
            described["properties"][name]["example"] = link("https://booking.example/api/v1/", cursor)
        return described

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        """The rows of the page that is asked for. Raises NotFound for a wrong cursor."""
        self.address = request.build_absolute_uri()
        cursor, size = request.query_params.get(self.cursor_query_param), self.get_page_size(request)
        self.found = page_of(queryset, order=self.ordering, cursor=cursor, size=size)
        return self.found.rows

    def get_next_link(self) -> str | None:
        """Where the next page is."""
        return link(self.address, self.found.next)

    def get_previous_link(self) -> str | None:
        """Where the page before is."""
        return link(self.address, self.found.previous)


def link(address: str, cursor: str | None) -> str | None:
    """The `address` with another cursor."""
    return cursor and replace_query_param(address, CursorPagination.cursor_query_param, cursor)
