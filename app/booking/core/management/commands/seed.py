"""`manage.py seed`: users, places and stays to try the service with."""

import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction
from django.db.models import Model

from booking.accounts.models import Role, User
from booking.bookings.models import Booking, Status
from booking.listings.cache import forget
from booking.listings.models import Currency, Listing
from booking.listings.models import Status as Offer

PLACES = ("Addis Ababa", "Bahir Dar", "Gondar", "Hawassa", "Lalibela", "Mekelle", "Dire Dawa", "Arba Minch")
KINDS = ("Guest house", "Flat", "Lodge", "Cottage", "Loft", "Courtyard house")
# Fixed, so that a seed gives the same rows on any day: when all was written, the day before which some stays
# are over, and the first night of those to come, far from what people try; until then the pending are held.
WRITTEN = datetime(2025, 12, 1, tzinfo=UTC)
OVER, FIRST_NIGHT = date(2025, 12, 1), date(2030, 1, 1)
HELD_UNTIL = datetime(2030, 1, 1, tzinfo=UTC)
# Of a hundred stays.
SHARES = {
    Status.CONFIRMED: 60,
    Status.COMPLETED: 20,
    Status.CANCELLED: 10,
    Status.EXPIRED: 6,
    Status.PENDING: 4,
}
HIDDEN = 20  # one listing in so many

Row = tuple[Any, ...]
PERSON = ("id", "email", "name", "password", "role", "is_active", "is_staff", "is_superuser", "created_at")
PLACE = (
    "id", "host_id", "price_per_night", "currency", "capacity", "place", "title", "description", "status",
    "created_at",
)  # fmt: skip
STAY = (
    "listing_id", "guest_id", "check_in", "check_out", "guests", "status", "expires_at", "price_per_night",
    "price_total", "currency", "created_at",
)  # fmt: skip


def people(*, seed: int, role: Role, keys: Sequence[int]) -> Iterator[Row]:
    """A user of `role` for each key, as PERSON; none can log in."""
    for number, key in enumerate(keys):
        # A password that begins with "!" matches nothing; hashing a real one for each would take the hour.
        email, name = f"{role}-{seed}-{number}@seed.invalid", f"{role.title()} {number}"
        yield key, email, name, "!", role.value, True, False, False, WRITTEN


def places(*, seed: int, hosts: Sequence[int], keys: Sequence[int]) -> Iterator[Row]:
    """A listing for each key, as PLACE; the prices are whole units a night. The same ones each time."""
    random = Random(f"places {seed}")
    for number, key in enumerate(keys):
        place = random.choice(PLACES)
        title = f"{random.choice(KINDS)} {number} in {place}"
        price, currency, capacity = (
            random.randint(20, 400),
            random.choice(Currency.values),
            random.randint(1, 8),
        )
        status = Offer.HIDDEN if number % HIDDEN == HIDDEN - 1 else Offer.PUBLISHED
        yield (
            key, random.choice(hosts), price, currency, capacity, place, title,
            "Drawn by the seed command.", status.value, WRITTEN + timedelta(seconds=number),
        )  # fmt: skip


def stays(*, seed: int, among: Iterable[Row], of: int, guests: Sequence[int], count: int) -> Iterator[Row]:
    """`count` stays at the `of` places `among`, as STAY: a place's one after the other, none overlapping."""
    random = Random(f"stays {seed}")
    drawn = random.choices(list(SHARES), list(SHARES.values()), k=1000)
    number = 0
    for order, (key, _, price, currency, capacity, *_) in enumerate(among):
        before, after = OVER, FIRST_NIGHT
        for _ in range(count // of + (order < count % of)):
            status = drawn[number % len(drawn)]
            gap, nights = timedelta(days=random.randint(0, 3)), random.randint(1, 7)
            if status == Status.COMPLETED:  # one before the other
                check_in = before = before - gap - timedelta(days=nights)
            else:
                check_in, after = after + gap, after + gap + timedelta(days=nights)
            check_out = check_in + timedelta(days=nights)
            yield (
                key, random.choice(guests), check_in, check_out, random.randint(1, capacity), status.value,
                HELD_UNTIL if status == Status.PENDING else None, price, price * nights, currency,
                WRITTEN + timedelta(seconds=number),
            )  # fmt: skip
            number += 1


def new_keys(model: type[Model], count: int) -> list[int]:
    """Primary keys that nobody else will be given."""
    with connection.cursor() as cursor:
        sequence = "pg_get_serial_sequence(%s, 'id')"
        cursor.execute(
            f"SELECT nextval({sequence}) FROM generate_series(1, %s)", [model._meta.db_table, count]
        )
        return [key for (key,) in cursor.fetchall()]


class Command(BaseCommand):
    """Same numbers and same seed: same rows. A seed that is in the database already is left as it is."""

    help = (
        "Draw listings and bookings. One transaction: all of it or nothing; a repeated seed writes nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The three numbers."""
        parser.add_argument("--listings", type=int, default=100, help="how many (default 100)")
        parser.add_argument("--bookings", type=int, default=500, help="how many (default 500)")
        parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default 1)")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        """Draws and writes, a row at a time: what is in memory are the keys of users and listings."""
        seed, of = options["seed"], max(options["listings"], 0)
        count = max(options["bookings"], 0) if of else 0
        if User.objects.filter(email=f"host-{seed}-0@seed.invalid").exists():
            self.stdout.write(
                f"seed {seed} is in the database already: nothing written; choose another --seed"
            )
            return
        hosts, guests = new_keys(User, of // 10 + 1), new_keys(User, count // 20 + 1)
        keys = new_keys(Listing, of)
        self.write(User, PERSON, people(seed=seed, role=Role.HOST, keys=hosts), "hosts", len(hosts))
        self.write(User, PERSON, people(seed=seed, role=Role.GUEST, keys=guests), "guests", len(guests))
        self.write(Listing, PLACE, places(seed=seed, hosts=hosts, keys=keys), "listings", of)
        among = places(seed=seed, hosts=hosts, keys=keys)
        rows = stays(seed=seed, among=among, of=of, guests=guests, count=count)
        self.write(Booking, STAY, rows, "bookings", count)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE listings_listing, bookings_booking")  # what is planned next knows of them
        forget()

    def write(self, model: type[Model], columns: Row, rows: Iterable[Row], what: str, total: int) -> None:
        """Sends `rows` as they are drawn, by COPY, and says every second how far it is."""
        started = told = time.monotonic()
        with connection.cursor() as cursor:
            statement = f"COPY {model._meta.db_table} ({', '.join(columns)}) FROM STDIN"
            with connection.wrap_database_errors, cursor.copy(statement) as copy:
                for done, row in enumerate(rows):
                    copy.write_row(row)
                    if time.monotonic() - told >= 1:
                        told = time.monotonic()
                        self.tell(what, done, total, told - started)
        self.tell(what, total, total, time.monotonic() - started)

    def tell(self, what: str, done: int, total: int, seconds: float) -> None:
        """A line of its own, at once, so that it can be followed through a pipe as well."""
        percent = 100 * done // (total or 1) if total else 100
        self.stdout.write(f"{what}: {percent} % ({done:,} of {total:,}), {done / max(seconds, 0.001):,.0f}/s")
        self.stdout.flush()
