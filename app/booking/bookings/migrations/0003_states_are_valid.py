from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("bookings", "0002_holds_answers_audit")]

    operations = [
        ValidateConstraint("booking", "bookings_booking_status_in_list"),
        ValidateConstraint("booking", "bookings_booking_hold_ends"),
    ]
