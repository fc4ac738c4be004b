from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("listings", "0002_status")]

    operations = [ValidateConstraint("listing", "listings_listing_status_known")]
