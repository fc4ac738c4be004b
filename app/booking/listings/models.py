"""Places that hosts offer."""

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models


class Currency(models.TextChoices):
    """ISO 4217; each has two decimals."""

    BIRR = "ETB", "Ethiopian birr"
    EURO = "EUR", "euro"
    DOLLAR = "USD", "US dollar"


class Listing(models.Model):
    """A place, its price a night and how many guests it takes."""

    host = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="listings")
    title = models.CharField(max_length=120)
    description = models.TextField(max_length=5000, blank=True)
    place = models.CharField(max_length=120)
    price_per_night = models.DecimalField(max_digits=10, decimal_places=2, validators=[MinValueValidator(1)])
    currency = models.CharField(max_length=3, choices=Currency.choices)
    capacity = models.PositiveSmallIntegerField(validators=[MinValueValidator(1)])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
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
        )

    def __str__(self) -> str:
        return self.title
