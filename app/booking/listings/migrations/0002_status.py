from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models

EXPAND = "releases before it leave the status out, and the database fills it"


class Migration(migrations.Migration):
    dependencies = [("listings", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="listing",
            name="status",
            field=models.CharField(
                choices=[
                    ("published", "on offer"),
                    ("hidden", "withdrawn by its host; what is booked stays booked"),
                ],
                db_default="published",
                max_length=12,
            ),
        ),
        AddConstraintNotValid(
            model_name="listing",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["published", "hidden"])),
                name="listings_listing_status_known",
            ),
        ),
    ]
