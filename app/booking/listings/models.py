"""Places that hosts offer."""

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Lower


class Currency(models.TextChoices):
    """ISO 4217; each has two decimals."""

    BIRR = "ETB", "Ethiopian birr"
    EURO = "EUR", "euro"
    DOLLAR = "USD", "US dollar"


class Status(models.TextChoices):
    """Whether a listing is on offer."""

    PUBLISHED = "published", "on offer"
    HIDDEN = "hidden", "withdrawn by its host; what is booked stays booked"


# The words that a search finds a listing by. `simple` stems nothing: places and names are in many languages.
WORDS = SearchVector("title", "place", "description", config="simple")


class Listing(models.Model):
    """A place, its price a night and how many guests it takes."""

    host = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="listings")
    title = models.CharField(max_length=120)
    description = models.TextField(max_length=5000, blank=True)
    place = models.CharField(max_length=120)
    price_per_night = models.DecimalField(max_digits=10, decimal_places=2, validators=[MinValueValidator(1)])
    currency = models.CharField(max_length=3, choices=Currency.choices)
    capacity = models.PositiveSmallIntegerField(validators=[MinValueValidator(1)])
    status = models.CharField(max_length=12, choices=Status.choices, db_default=Status.PUBLISHED)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        # For the filters and orders of the list, each with the id that settles a draw; what they do for it
        # is in tests/test_plans.py.
        indexes = (
            models.Index(Lower("place"), models.F("id").desc(), name="listings_listing_place"),
            models.Index(fields=["price_per_night", "id"], name="listings_listing_price"),
            models.Index(fields=["currency", "price_per_night", "id"], name="listings_listing_currency"),
            models.Index(fields=["capacity", "id"], name="listings_listing_capacity"),
            GinIndex(WORDS, name="listings_listing_words"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(price_per_night__gt=0), name="listings_listing_price_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(capacity__gte=1), name="listings_listing_capacity_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(currency__in=Currency.values), name="listings_listing_currency_known"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=Status.values), name="listings_listing_status_known"
            ),
        )

    def __str__(self) -> str:
        return self.title
