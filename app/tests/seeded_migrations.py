"""Migrations of an app `seeded`, good and bad: operations by what they do, as a migration's text."""

# What every seeded migration finds.
FIRST = """
from django.contrib.postgres.operations import BtreeGistExtension
from django.db import migrations, models

ID = ("id", models.BigAutoField(primary_key=True))

class Migration(migrations.Migration):
    initial = True
    operations = [
        BtreeGistExtension(),
        migrations.RunSQL("SELECT 1"),
        migrations.CreateModel("Shop", [
            ID,
            ("name", models.CharField(max_length=40)),
            ("code", models.CharField(max_length=10, null=True)),
            ("town", models.CharField(max_length=10, db_column="place", db_default="")),
            ("price", models.DecimalField(max_digits=8, decimal_places=2)),
            ("size", models.IntegerField()),
        ], options={"constraints": [
            models.CheckConstraint(condition=models.Q(size__gt=0), name="size_positive"),
        ]}),
        migrations.CreateModel("Label", [ID]),
        migrations.CreateModel("Seen", [ID], options={"managed": False}),
        migrations.CreateModel("Kept", [ID], options={"db_table": "kept"}),
    ]
"""
LATER = """
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models
{declares}

ID = ("id", models.BigAutoField(primary_key=True))

class Own(migrations.AddIndex):
    pass

class Migration(migrations.Migration):
    atomic = False
    initial = {initial}
    dependencies = [("seeded", {after!r})]
    operations = [{operations}]
"""

# Operations that an older release can live with.
HARMLESS = {
    "a table": 'migrations.CreateModel("New", [ID])',
    "a column that may be null": 'migrations.AddField("shop", "note", models.TextField(null=True))',
    "a column with a default": 'migrations.AddField("shop", "note", models.TextField(db_default=""))',
    "many to many": 'migrations.AddField("shop", "labels", models.ManyToManyField("seeded.label"))',
    "a constraint on a table that the same migration makes": (
        'migrations.CreateModel("New", [ID]),'
        'migrations.AddConstraint("new", models.UniqueConstraint(fields=["id"], name="new_id"))'
    ),
    "a column of a table that the same migration makes": (
        'migrations.CreateModel("New", [ID]),'
        'migrations.AddField("new", "size", models.IntegerField(default=1))'
    ),
    "an index": 'AddIndexConcurrently("shop", models.Index(fields=["name"], name="shop_name"))',
    "no index": 'migrations.AddIndex("shop", models.Index(fields=["name"], name="shop_name")),'
    'migrations.RemoveIndex("shop", "shop_name")',
    "a longer column": 'migrations.AlterField("shop", "name", models.CharField(max_length=80))',
    "a column without a limit": 'migrations.AlterField("shop", "code", models.CharField(null=True))',
    "more digits": 'migrations.AlterField("shop", "price", models.DecimalField(None, None, 9, 2))',
    "null": 'migrations.AlterField("shop", "size", models.IntegerField(null=True))',
    "a default of the database": 'migrations.AlterField("shop", "size", models.IntegerField(db_default=1))',
    "choices": 'migrations.AlterField("shop", "name", models.CharField(max_length=40, choices=[("a", "a")]))',
    "another name for the same column": 'migrations.RenameField("shop", "town", "place")',
    "another name for the same table": 'migrations.RenameModel("Kept", "Stored")',
    "a field that only Django forgets": (
        'migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("shop", "code")])'
    ),
    "a table that is not ours": 'migrations.RemoveField("seen", "id")',
    "no code": 'migrations.RunPython(migrations.RunPython.noop), migrations.RunSQL("")',
}
# Operations that take away what an older release uses: only a contraction may.
TAKING = {
    "a column dropped": 'migrations.RemoveField("shop", "code")',
    "a table dropped": 'migrations.DeleteModel("Shop")',
    "a column renamed": 'migrations.RenameField("shop", "name", "title")',
    "a table renamed": 'migrations.RenameModel("Shop", "Store")',
    "a table's name altered": 'migrations.AlterModelTable("shop", "stores")',
    "a column's name altered": (
        'migrations.AlterField("shop", "name", models.CharField(max_length=40, db_column="title"))'
    ),
    "a column dropped in the database's half": (
        'migrations.SeparateDatabaseAndState([migrations.RemoveField("shop", "code")])'
    ),
}
# Operations of which a person knows whether older releases can live with them.
DOUBTFUL = {
    "a column that nothing fills": 'migrations.AddField("shop", "note", models.TextField(default=""))',
    "a unique column with one default": (
        'migrations.AddField("shop", "note", models.CharField(max_length=9, db_default="", unique=True))'
    ),
    "no null": 'migrations.AlterField("shop", "code", models.CharField(max_length=10, default=""))',
    "no default of the database": (
        'migrations.AlterField("shop", "town", models.CharField(max_length=10, db_column="place"))'
    ),
    "a shorter column": 'migrations.AlterField("shop", "name", models.CharField(max_length=20))',
    "fewer digits": 'migrations.AlterField("shop", "price", models.DecimalField(None, None, 8, 3))',
    "another type": 'migrations.AlterField("shop", "size", models.BigIntegerField())',
    "unique values": 'migrations.AlterField("shop", "code", models.CharField(null=True, unique=True))',
    "values unique together": 'migrations.AlterUniqueTogether("shop", {("name", "code")})',
    "an order": 'migrations.AlterOrderWithRespectTo("label", None)',
    "a unique constraint": (
        'migrations.AddConstraint("shop", models.UniqueConstraint(fields=["name"], name="one_name"))'
    ),
    "a constraint not valid yet": (
        'AddConstraintNotValid("shop", models.CheckConstraint(condition=models.Q(size__lt=9), name="small"))'
    ),
    "a constraint taken away": 'migrations.RemoveConstraint("shop", "size_positive")',
    "SQL": 'migrations.RunSQL("UPDATE seeded_shop SET size = 1")',
    "code": "migrations.RunPython(lambda apps, editor: None)",
    "an operation from elsewhere": 'Own("shop", models.Index(fields=["name"], name="shop_name"))',
}
# What django-migration-linter calls an error, besides all of TAKING; the rest it does not see or not judge.
LINTED = {
    "a column that nothing fills",
    "a unique constraint",
    "no null",
    "unique values",
    "values unique together",
}
# It does not see whose column that is. In a migration of the service EXPAND with that reason would answer it.
WRONGLY = {"a column of a table that the same migration makes"}
# Calls every change of a type an error, a longer column as well; our check looks at which change it is.
LEFT_TO_OURS = ("ALTER_COLUMN",)
