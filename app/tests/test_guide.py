"""The guide's migrations (docs/runbooks/expand-contract.md) are what it says; older releases can write."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import Error, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings

from booking.listings.migrations import __file__ as real_migrations
from tests.helpers import make_user
from tests.test_migrations import check

GUIDE = Path(__file__).resolve().parents[2] / "docs/runbooks/expand-contract.md"
RELEASES = {
    "RELEASE-2": "20260102T000000Z-0000002",
    "RELEASE-3": "20260103T000000Z-0000003",
}
BLOCK = re.compile(r"```python\n# app/booking/listings/migrations/(\w+)\.py\n(.*?)```", re.DOTALL)
# what each of the four releases believes, by its last migration
FIRST, EXPANDED, MOVED, CONTRACTED = "0001_initial", "0002_town", "0004_without_place", "0005_drop_place"
ROW = {"title": "Room", "price_per_night": 50, "currency": "EUR", "capacity": 2}


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The service with the guide's migrations after its own first of `listings`."""
    text = GUIDE.read_text(encoding="utf-8")
    for name, release in RELEASES.items():
        text = text.replace(name, release)
    folder = tmp_path / "guided"
    folder.mkdir()
    (folder / "__init__.py").touch()
    first = Path(str(real_migrations)).with_name(f"{FIRST}.py")
    (folder / first.name).write_text(first.read_text(encoding="utf-8"), encoding="utf-8")
    for name, code in BLOCK.findall(text):
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with override_settings(MIGRATION_MODULES={"listings": "guided"}):
        yield


def test_the_guides_migrations_pass_the_build_with_the_classes_it_tells(guide: None) -> None:
    classes, problems = check.classify()
    assert problems == []
    told = {name.split(".")[1]: one for name, one in classes.items() if name.startswith("listings.")}
    expand = {"class": "expand", "since": ""}
    assert told == {
        FIRST: expand,
        EXPANDED: expand,
        "0003_fill_town": expand,
        MOVED: {"class": "contract", "since": RELEASES["RELEASE-2"]},
        CONTRACTED: {"class": "contract", "since": RELEASES["RELEASE-3"]},
    }


@pytest.mark.django_db
def test_releases_that_the_guide_lets_run_can_write_on_each_schema_and_no_others(guide: None) -> None:
    able = {
        FIRST: [FIRST],
        EXPANDED: [FIRST, EXPANDED],
        # the first one can write as well; what it cannot do is live with rows of the third, without a place
        MOVED: [FIRST, EXPANDED, MOVED],
        CONTRACTED: [MOVED, CONTRACTED],
    }
    owner = make_user("owner@example.org").pk
    for schema, expected in able.items():
        executor = MigrationExecutor(connection)
        executor.migrate([("listings", schema)])
        with connection.cursor() as cursor:  # checks that wait for the end of a transaction forbid an ALTER
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
        until = [release for release in able if release <= schema]
        assert [release for release in until if can_write(executor, release, owner)] == expected, schema


def can_write(executor: MigrationExecutor, release: str, owner: int) -> bool:
    """Whether a release's code, which believes its last migration, can write a row and read it."""
    known = executor.loader.project_state([("listings", release)]).apps.get_model("listings", "Listing")
    places = {
        name: "Gondar" for name in ("place", "town") if name in {field.name for field in known._meta.fields}
    }
    try:
        with transaction.atomic():
            row = known.objects.create(host_id=owner, **ROW, **places)
            row.refresh_from_db()
            transaction.set_rollback(True)
    except Error:
        return False
    return True
