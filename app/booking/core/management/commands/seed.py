"""`manage.py seed`: places and stays to try the service with."""

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from itertools import islice
from random import Random
from typing import Any

from django.core.management.base import BaseCommand
from django.db import models, transaction

from booking.accounts.models import User
from booking.bookings.models import Booking, Status
from booking.listings.models import Currency, Listing

BATCH = 2000  # rows a statement; also all that is in memory at a time
PLACES = ("Addis Ababa", "Bahir Dar", "Gondar", "Hawassa", "Lalibela", "Mekelle", "Dire Dawa", "Arba Minch")
KINDS = ("Guest house", "Flat", "Lodge", "Cottage", "Loft", "Courtyard house")
FIRST_NIGHT = date(
    2030, 1, 1
)  # fixed, so that a seed gives the same stays on any day; far from what people try


def people(*, seed: int, role: str, count: int) -> Iterator[User]:
    """`count` users who cannot log in."""
    for number in range(count):
        # A password that begins with "!" matches nothing; hashing a real one for each would take the hour.
        yield User(
            email=f"{role}-{seed}-{number}@seed.invalid", name=f"{role.title()} {number}", password="!"
        )


def listings(*, random: Random, hosts: list[int], count: int) -> Iterator[Listing]:
    """`count` listings; the prices are whole units a night."""
    for number in range(count):
        place = random.choice(PLACES)
        yield Listing(
            host_id=random.choice(hosts),
            title=f"{random.choice(KINDS)} {number} in {place}",
            description="Drawn by the seed command.",
            place=place,
            price_per_night=random.randint(20, 400),
            currency=random.choice(Currency.values),
            capacity=random.randint(1, 8),
        )


def bookings(*, random: Random, places: list[Listing], guests: list[int], count: int) -> Iterator[Booking]:
    """`count` bookings, a place's one after the other so that none overlap; every tenth is cancelled."""
    free = dict.fromkeys((place.pk for place in places), FIRST_NIGHT)
    for number in range(count):
        place = places[number % len(places)]
        check_in = free[place.pk] + timedelta(days=random.randint(0, 3))
        nights = random.randint(1, 7)
        free[place.pk] = check_in + timedelta(days=nights)
        yield Booking(
            listing_id=place.pk,
            guest_id=random.choice(guests),
            check_in=check_in,
            check_out=free[place.pk],
            guests=random.randint(1, place.capacity),
            status=Status.CANCELLED if number % 10 == 9 else Status.CONFIRMED,
            price_per_night=place.price_per_night,
            price_total=place.price_per_night * nights,
            currency=place.currency,
        )


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
        """Draws and writes, a batch at a time."""
        seed, places, stays = options["seed"], max(options["listings"], 0), max(options["bookings"], 0)
        if User.objects.filter(email=f"host-{seed}-0@seed.invalid").exists():
            self.stdout.write(
                f"seed {seed} is in the database already: nothing written; choose another --seed"
            )
            return
        random = Random(seed)
        hosts = self.write(User, people(seed=seed, role="host", count=places // 10 + 1), "hosts")
        guests = self.write(User, people(seed=seed, role="guest", count=stays // 20 + 1), "guests")
        self.write(Listing, listings(random=random, hosts=hosts, count=places), "listings")
        drawn = list(
            Listing.objects.filter(host__in=hosts)
            .order_by("pk")
            .only("pk", "capacity", "price_per_night", "currency")
        )
        if drawn:
            rows = bookings(random=random, places=drawn, guests=guests, count=stays)
            self.write(Booking, rows, "bookings")

    def write(self, model: type[models.Model], rows: Iterable[models.Model], what: str) -> list[int]:
        """The primary keys of the stored `rows`, in their order."""
        keys: list[int] = []
        stream = iter(rows)
        while batch := list(islice(stream, BATCH)):
            keys += [row.pk for row in model._default_manager.bulk_create(batch)]
            self.stdout.write(f"{what}: {len(keys)}")
        return keys
