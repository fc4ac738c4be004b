"""What belongs to no part of the service alone."""

from django.db import models


class DailyCount(models.Model):
    """How often something was done on a day, by whomever: no user, no address, nothing of a request."""

    day = models.DateField()
    what = models.CharField(max_length=80)  # a method and the name of a route, such as "POST bookings"
    count = models.PositiveBigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint("day", "what", name="core_dailycount_once"),)

    def __str__(self) -> str:
        return f"{self.day} {self.what}: {self.count}"
