"""Limits of how often something may be asked, counted in the cache; settings.REST_FRAMEWORK has the rates.

Without Redis nothing is counted and nobody refused.
"""

import math
from abc import abstractmethod
from ipaddress import ip_interface

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from booking.core.counters import count
from booking.core.middleware import client_address


class Windowed(SimpleRateThrottle):
    """At most so many requests a key in each window of the clock.

    Counted by one atomic step each: the framework's own reads a list and writes it back, and of a hundred
    requests at once nearly all would pass.
    """

    duration: int  # seconds of a window; the framework reads both out of the rate
    num_requests: int

    def get_rate(self) -> str:
        """The setting for this throttle's scope, such as "20/minute"."""
        return str(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"][self.scope])

    @abstractmethod
    def get_cache_key(self, request: Request | HttpRequest, view: APIView | None) -> str | None:
        """Who is counted, in a form that is safe in a key; None for nobody."""

    def allow_request(self, request: Request | HttpRequest, view: APIView | None) -> bool:
        """Counts the request, and says whether it is within the rate."""
        key = self.get_cache_key(request, view)
        window, gone = divmod(self.timer(), self.duration)
        self.left = self.duration - gone
        if key is None:
            return True
        # Kept for two windows, so that no counter expires between its steps.
        number = count(f"throttle:{self.scope}:{key}:{window:.0f}", seconds=2 * self.duration)
        return number <= self.num_requests

    def wait(self) -> int:
        """Whole seconds until the next window."""
        return math.ceil(self.left)


class PerAddress(Windowed):
    """Counted by the client's address; of IPv6 by its network of 64 bits, which is what one customer has."""

    def get_cache_key(self, request: Request | HttpRequest, view: APIView | None) -> str | None:
        """The address or network; None where it is not known."""
        address = client_address(request)
        return address and str(ip_interface(f"{address}/64").network if ":" in address else address)
