"""Pagination by cursor: a page costs the same wherever it is, and does not shift while rows arrive."""

from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request


class NewestFirst(CursorPagination):
    """Newest rows first, by primary key; `page_size` of 1 to 100, 20 unless asked."""

    ordering = "-id"
    page_size = 20
    max_page_size = 100
    page_size_query_param = "page_size"

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The cursor of the request. Raises NotFound for one that no page of ours has given out."""
        cursor = super().decode_cursor(request)
        # The framework hands the position to the database as it came.
        if cursor and cursor.position is not None and not str(cursor.position).isdecimal():
            raise NotFound(self.invalid_cursor_message)
        return cursor
