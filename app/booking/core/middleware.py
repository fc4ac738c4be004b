"""What every request and answer gets: an id, the release's name, a line in the log, a count of the day."""

import logging
import re
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject
from rest_framework.request import Request

from booking.core import visits
from config.logs import request_id

logger = logging.getLogger("booking.request")

PROBES = frozenset({"/healthz", "/readyz"})
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")
AGENT_MAXIMUM = 200  # characters of a User-Agent that are kept
# What the service's pages never use is not there for what may be smuggled into one.
UNUSED = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
PERMISSIONS = ", ".join(f"{feature}=()" for feature in UNUSED)


def client_address(request: HttpRequest | Request) -> str | None:
    """The client's IP address in its shortest form, or None where it is not known.

    Behind the trusted proxy it is the last entry of X-Forwarded-For: what the proxy itself saw and appended.
    Whatever stands before it came from the client, or from a proxy that nobody here vouches for.
    """
    seen = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2] if settings.TRUSTED_PROXY else ""
    try:
        address = ip_address((seen.strip() or request.META.get("REMOTE_ADDR", "")).partition("%")[0])
    except ValueError:  # a socket of this host has none
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def user_agent(request: HttpRequest | Request) -> str:
    """What the client calls itself, cut short."""
    return str(request.META.get("HTTP_USER_AGENT", "")).replace("\x00", "")[:AGENT_MAXIMUM]


def known_user(request: HttpRequest) -> int | None:
    """The id of the user whom the view has seen, by token or session.

    A session that nobody has looked up stays so: a line in the log is not worth a question to the database.
    """
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject):
        user = getattr(request, "_cached_user", None)
    return getattr(user, "pk", None)


class ReleaseMiddleware:
    """Sets the headers that are on every answer, errors included, logs the request and counts it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answers; a request id that the balancer gave is kept when it is well formed."""
        started = time.perf_counter()
        given = request.headers.get("X-Request-Id", "")
        identifier = given if WELL_FORMED.fullmatch(given) else uuid4().hex
        token = request_id.set(identifier)
        try:
            response = self.get_response(request)
            response["X-Release-Id"] = settings.RELEASE_ID
            response["X-Request-Id"] = identifier
            response["Permissions-Policy"] = PERMISSIONS
            if request.path not in PROBES:
                visits.note(request, response)
            self.log(request, response, milliseconds=(time.perf_counter() - started) * 1000)
        finally:
            request_id.reset(token)
        return response

    def log(self, request: HttpRequest, response: HttpResponse, *, milliseconds: float) -> None:
        """One line; the query string is left out, it may hold what a log should not."""
        if request.path in PROBES and response.status_code == 200:
            return  # two balancers ask twice a second each; only bad news is news
        match = request.resolver_match
        logger.info(
            "request",
            extra={
                "method": request.method,
                "path": request.path,
                "route": match.route if match else None,
                "status": response.status_code,
                "duration_ms": round(milliseconds, 1),
                "user": known_user(request),
                "address": client_address(request),
                "agent": user_agent(request),
            },
        )
