"""What every request and answer gets: an id, the release's name, one line in the log."""

import logging
import re
import time
from collections.abc import Callable
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from config.logs import request_id

logger = logging.getLogger("booking.request")

PROBES = frozenset({"/healthz", "/readyz"})
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")


class ReleaseMiddleware:
    """Sets X-Release-Id and X-Request-Id on every answer, errors included, and logs the request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answers with both headers; an id that the balancer gave is kept when it is well formed."""
        started = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        identifier = given if WELL_FORMED.fullmatch(given) else uuid4().hex
        token = request_id.set(identifier)
        try:
            response = self.get_response(request)
            response["X-Release-Id"] = settings.RELEASE_ID
            response["X-Request-Id"] = identifier
            self.log(request, response, milliseconds=(time.perf_counter() - started) * 1000)
        finally:
            request_id.reset(token)
        return response

    def log(self, request: HttpRequest, response: HttpResponse, *, milliseconds: float) -> None:
        """One line; the query string is left out, it may hold what a log should not."""
        if request.path in PROBES and response.status_code == 200:
            return  # two balancers ask twice a second each; only bad news is news
        logger.info(
            "request",
            extra={
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "duration_ms": round(milliseconds, 1),
                "user": getattr(getattr(request, "user", None), "pk", None),
            },
        )
