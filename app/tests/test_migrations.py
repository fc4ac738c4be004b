"""Migrations: none takes away what an older release uses without saying so, by our check and by another's.

The deploy tool's own check (deploy/release/classify.py, which every build runs) and django-migration-linter
look at the service's migrations, and at seeded bad ones, so that both are seen to bite.
"""

import importlib.util
import sys
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.test import override_settings
from django_migration_linter import MigrationLinter

from tests.seeded_migrations import DOUBTFUL, FIRST, HARMLESS, LATER, LINTED, TAKING, WRONGLY

CHECK = Path(__file__).resolve().parents[2] / "deploy/release/classify.py"
OURS = ("accounts", "bookings", "core", "listings", "outbox", "payments")
# It calls every change of a type an error, a longer column as well; our check looks at which change it is.
LEFT_TO_OURS = ("ALTER_COLUMN",)
SINCE = 'CONTRACT_SINCE = "20260101T000000Z-0000000"'
REASON = 'EXPAND = "the set of values only grows"'

Seed = Callable[..., list[str]]
# The linter has Django write the SQL and runs none of it; some is written outside transactions alone.
outside_a_transaction = pytest.mark.django_db(transaction=True)


def load_check() -> ModuleType:
    """The deploy tool's check, by its path: this project does not know the other."""
    spec = importlib.util.spec_from_file_location("classify", CHECK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["classify"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


check = load_check()


@pytest.fixture
def seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seed]:
    """Makes an app `seeded` with the given migrations after its first; answers what our check finds."""

    def add(*later: tuple[str, str], initial: Container[int] = ()) -> list[str]:
        files = {"__init__.py": "", "migrations/__init__.py": "", "migrations/0001_initial.py": FIRST}
        after = "0001_initial"
        for number, (operations, declares) in enumerate(later, start=2):
            text = LATER.format(
                operations=operations, declares=declares, after=after, initial=number in initial or None
            )
            after = f"{number:04}_later"
            files[f"migrations/{after}.py"] = text
        for name, text in files.items():
            path = tmp_path / "seeded" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        forget()
        return problems()

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("seeded.")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "seeded").mkdir()
    (tmp_path / "seeded/__init__.py").touch()
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, "seeded"]):
        yield add
    forget()
    del sys.modules["seeded"]


def problems() -> list[str]:
    """What our check finds wrong."""
    found: list[str] = check.classify()[1]
    return found


def classes() -> dict[str, dict[str, str]]:
    """What our check says of every migration."""
    found: dict[str, dict[str, str]] = check.classify()[0]
    return found


def linted(apps: Iterable[str], ignore: Iterable[str] = ()) -> tuple[int, int]:
    """How many migrations of the apps the other check looked at, and how many of them it calls wrong."""
    linter = MigrationLinter(
        include_apps=apps,
        ignore_name=ignore,
        exclude_migration_tests=LEFT_TO_OURS,
        no_cache=True,
        no_output=True,
    )
    linter.lint_all_migrations()
    return linter.nb_total - linter.nb_ignored, linter.nb_erroneous


def declared(apps: Iterable[str]) -> list[str]:
    """The names of migrations that say themselves what they do."""
    disk = MigrationLoader(None).disk_migrations
    return [
        name
        for (app, name), migration in disk.items()
        if app in apps
        and not vars(sys.modules[type(migration).__module__]).keys().isdisjoint(check.DECLARATIONS)
    ]


def test_every_migration_of_the_service_says_what_it_does_to_older_releases() -> None:
    assert problems() == []
    assert {name.split(".")[0] for name in classes()} >= {
        "accounts",
        "bookings",
        "listings",
        "auth",
        "contenttypes",
    }


@outside_a_transaction
def test_the_linter_finds_nothing_in_the_service_that_is_not_declared() -> None:
    total, erroneous = linted(OURS, declared(OURS))
    assert total >= len(OURS)
    assert erroneous == 0


@pytest.mark.parametrize("what", HARMLESS)
def test_what_older_releases_can_live_with_needs_no_word(what: str, seed: Seed) -> None:
    assert seed((HARMLESS[what], "")) == []
    assert classes()["seeded.0002_later"] == {"class": "expand", "since": ""}


@pytest.mark.parametrize("what", TAKING | DOUBTFUL)
def test_what_they_may_not_live_with_is_refused_until_it_is_declared(what: str, seed: Seed) -> None:
    operation = (TAKING | DOUBTFUL)[what]
    (problem,) = seed((operation, ""))
    assert problem.startswith("seeded.0002_later: ")
    assert "not declared\n  write CONTRACT_SINCE" in problem
    assert ('EXPAND = "REASON"' in problem) == (what in DOUBTFUL)
    assert "seeded/migrations/0002_later.py, beside the imports" in problem

    assert seed((operation, SINCE)) == []
    assert classes()["seeded.0002_later"] == {"class": "contract", "since": "20260101T000000Z-0000000"}

    assert len(seed((operation, REASON))) == (0 if what in DOUBTFUL else 1), "no reason excuses taking away"


@outside_a_transaction
def test_both_checks_bite_and_ours_wherever_the_linter_does(seed: Seed) -> None:
    ours, theirs = set(), set()
    for what, operation in (HARMLESS | TAKING | DOUBTFUL).items():
        ours |= {what} if seed((operation, "")) else set()
        total, erroneous = linted(["seeded"])
        assert total == 2
        theirs |= {what} if erroneous else set()
    assert ours == TAKING.keys() | DOUBTFUL.keys()
    assert theirs == TAKING.keys() | LINTED | WRONGLY
    assert theirs - WRONGLY <= ours


@outside_a_transaction
def test_a_declared_migration_is_not_held_up_by_the_linter(seed: Seed) -> None:
    seed((TAKING["a column dropped"], SINCE), (DOUBTFUL["a unique constraint"], REASON))
    assert linted(["seeded"]) == (3, 2)
    assert linted(["seeded"], declared(["seeded"])) == (1, 0)


def test_each_operation_of_a_migration_is_named_with_what_it_does(seed: Seed) -> None:
    found = seed(
        (TAKING["a column dropped"] + "," + DOUBTFUL["SQL"], REASON), (TAKING["a table dropped"], "")
    )
    assert [problem.split(":")[0] for problem in found] == ["seeded.0002_later", "seeded.0003_later"]
    assert "RemoveField (Remove field code from shop) drops a column" in found[0]
    assert "docs/runbooks/expand-contract.md" in found[0]
    assert "DeleteModel (Delete model Shop) drops a table" in found[1]


@pytest.mark.parametrize(
    ("declares", "why"),
    [
        ('CONTRACT_SINCE = "last release"', "is no release id"),
        ('CONTRACT_SINCE = ""', "is no release id"),
        ('EXPAND = " "', "has to give the reason"),
        (f"{SINCE}\n{REASON}", "may be one of"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(declares: str, why: str, seed: Seed) -> None:
    (problem,) = seed((DOUBTFUL["SQL"], declares))
    assert why in problem


def test_a_new_app_may_begin_with_several_migrations(seed: Seed) -> None:
    assert seed((DOUBTFUL["SQL"], ""), (DOUBTFUL["no null"], ""), initial={2, 3}) == []


def test_a_later_migration_is_not_excused_by_calling_itself_initial(seed: Seed) -> None:
    found = seed((HARMLESS["null"], ""), (TAKING["a column dropped"], ""), initial={3})
    assert [problem.split(":")[0] for problem in found] == ["seeded.0003_later"]


def test_migrations_that_a_squashed_one_replaces_are_looked_at_as_well(seed: Seed, tmp_path: Path) -> None:
    seed((TAKING["a column dropped"], ""))
    replaces = 'initial = True\n    replaces = [("seeded", "0001_initial"), ("seeded", "0002_later")]'
    (tmp_path / "seeded/migrations/0001_squashed_0002.py").write_text(
        FIRST.replace("initial = True", replaces)
    )
    assert [problem.split(":")[0] for problem in problems()] == ["seeded.0002_later"]
    assert classes()["seeded.0001_squashed_0002"]["class"] == "expand"


def test_a_packages_migration_is_declared_in_the_settings() -> None:
    with override_settings(MIGRATIONS_DECLARED={}):
        found = problems()
    assert sorted({problem.split(":")[0] for problem in found}) == sorted(settings.MIGRATIONS_DECLARED)
    assert all("the setting MIGRATIONS_DECLARED" in problem for problem in found)


def test_the_settings_declare_nothing_of_our_own_and_nothing_that_is_not_there(seed: Seed) -> None:
    seed((TAKING["a column dropped"], ""))
    more = {"seeded.0002_later": {"EXPAND": "trust me"}, "auth.0999_gone": {"EXPAND": "was here"}}
    with override_settings(MIGRATIONS_DECLARED=settings.MIGRATIONS_DECLARED | more):
        found = problems()
    assert sum("drops a column" in problem for problem in found) == 1
    assert sum("no installed package has a migration" in problem for problem in found) == 2
