import django.db.models.functions.text
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import AddIndexConcurrently
from django.contrib.postgres.search import SearchVector
from django.db import migrations, models

EXPAND = "indexes alone, made while everybody reads and writes"


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("listings", "0003_status_is_valid")]

    operations = [
        migrations.RunSQL("SET lock_timeout = 0", migrations.RunSQL.noop),  # waits, and nobody waits for it
        AddIndexConcurrently(
            "listing",
            models.Index(
                django.db.models.functions.text.Lower("place"),
                models.OrderBy(models.F("id"), descending=True),
                name="listings_listing_place",
            ),
        ),
        AddIndexConcurrently(
            "listing", models.Index(fields=["price_per_night", "id"], name="listings_listing_price")
        ),
        AddIndexConcurrently(
            "listing",
            models.Index(fields=["currency", "price_per_night", "id"], name="listings_listing_currency"),
        ),
        AddIndexConcurrently(
            "listing", models.Index(fields=["capacity", "id"], name="listings_listing_capacity")
        ),
        AddIndexConcurrently(
            "listing",
            GinIndex(
                SearchVector("title", "place", "description", config="simple"), name="listings_listing_words"
            ),
        ),
        migrations.RunSQL("RESET lock_timeout", migrations.RunSQL.noop),
    ]
