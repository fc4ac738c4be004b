import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("bookings", "0002_holds_answers_audit"),
    ]

    operations = [
        migrations.CreateModel(
            name="Payment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("reference", models.CharField(max_length=64, unique=True)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=14)),
                (
                    "currency",
                    models.CharField(
                        choices=[("ETB", "Ethiopian birr"), ("EUR", "euro"), ("USD", "US dollar")],
                        max_length=3,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("open", "waiting for the guest"),
                            ("paid", "paid"),
                            ("failed", "not paid"),
                            ("refund_due", "to be given back"),
                            ("refunded", "given back"),
                        ],
                        default="open",
                        max_length=12,
                    ),
                ),
                ("checkout_url", models.URLField(blank=True, max_length=500)),
                ("provider_reference", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "booking",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="payments",
                        to="bookings.booking",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status__in", ["open", "refund_due"])),
                        fields=["updated_at"],
                        name="payments_payment_unsettled",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["open", "paid"])),
                        fields=("booking",),
                        name="payments_payment_one_at_a_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gt", 0)), name="payments_payment_amount_positive"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["open", "paid", "failed", "refund_due", "refunded"])
                        ),
                        name="payments_payment_status_known",
                    ),
                ],
            },
        ),
    ]
