"""How often each thing is done a day: counted in the cache, moved to the database by `flush`.

No user, no address, nothing of a request but its method and the name of its route.
"""

from datetime import date, timedelta

from django.core.cache import cache
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver
from django.utils import timezone

from booking.core.counters import count, take
from booking.core.models import DailyCount

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
DAYS = 3  # how long a count waits for `flush`


def key(day: date, what: str) -> str:
    """The counter of `what` on `day`."""
    return f"visits:{day}:{what.replace(' ', ':')}"


def note(request: HttpRequest, response: HttpResponse) -> None:
    """Counts a request that was answered and whose route has a name of ours."""
    match = request.resolver_match
    if match and match.url_name and not match.namespaces and response.status_code < 400:
        what = f"{request.method} {match.url_name}"
        count(key(timezone.localdate(), what), seconds=DAYS * 24 * 3600)


def flush() -> int:
    """Adds what was counted to the table and takes it off the counters; the number of requests moved.

    A second call finds nothing to add; of two at once each count is taken by one. A failure between the two
    steps loses counts, and never counts twice.
    """
    days = [timezone.localdate() - timedelta(days=back) for back in range(DAYS)]
    names = [name for name in get_resolver().reverse_dict if isinstance(name, str)]
    whats = sorted(f"{method} {name}" for method in METHODS for name in names)
    found = cache.get_many([key(day, what) for day in days for what in whats])
    moved = 0
    with transaction.atomic():
        # The rows first: without a database nothing is taken. Always in this order, so that of two calls
        # neither waits for what the other has.
        rows = [
            DailyCount(day=day, what=what, count=0)
            for day in days
            for what in whats
            if found.get(key(day, what), 0) > 0
        ]
        DailyCount.objects.bulk_create(rows, ignore_conflicts=True)
        for row in rows:
            name = key(row.day, row.what)
            if number := take(name, found[name]):
                DailyCount.objects.filter(day=row.day, what=row.what).update(count=F("count") + number)
                moved += number
    return moved
