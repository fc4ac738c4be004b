from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

EXPAND = "indexes alone, made while everybody reads and writes"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("bookings", "0003_states_are_valid")]

    operations = [
        migrations.RunSQL("SET lock_timeout = 0", migrations.RunSQL.noop),  # waits, and nobody waits for it
        AddIndexConcurrently(
            "booking",
            models.Index(
                condition=models.Q(("status", "pending")),
                fields=["expires_at"],
                name="bookings_booking_expiry",
            ),
        ),
        AddIndexConcurrently(
            "booking",
            models.Index(
                condition=models.Q(("status", "confirmed")),
                fields=["check_in", "check_out"],
                name="bookings_booking_ahead",
            ),
        ),
        migrations.RunSQL("RESET lock_timeout", migrations.RunSQL.noop),
    ]
