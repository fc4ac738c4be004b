"""Migrations against the traffic, and against rollback (cookiecutter-django 1133; dokploy 3169)."""

import time

import pytest

from tests.fleet import commits
from tests.fleet.commits import migration, present
from tests.fleet.site import Run

MODELS = "app/booking/listings/models.py"
FOLDER = "app/booking/listings/migrations"
MARK = "    created_at = models.DateTimeField(auto_now_add=True)\n"
FIELD = "    nickname = models.CharField(max_length=40, null=True)\n"


@pytest.fixture(autouse=True)
def clean(site, fab):
    """Afterwards a release serves that does not need the tests' migrations, and the database knows nothing of them."""
    yield
    done = fab("deploy", "--ref", commits.make("without the tests' migrations"))
    assert done.returncode == 0, done.stdout + done.stderr
    forget(site)


def forget(site):
    site.sql("ALTER TABLE listings_listing DROP COLUMN IF EXISTS nickname")
    site.sql("DELETE FROM django_migrations WHERE app = 'listings' AND name LIKE '%_test_%'")


def columns(site):
    return site.sql("SELECT column_name FROM information_schema.columns WHERE table_name = 'listings_listing'").split()


class Cycle:
    """The files of each release of a column's life: it comes, is filled, is no longer used, and goes."""

    def __init__(self):
        last = commits.last_migration()
        first = int(last[:4]) + 1
        self.names = [f"{first + number:04}_test_{word}" for number, word in
                      enumerate(("expand", "backfill", "unused", "contract"))]
        self.after = [last, *self.names]
        model = present(MODELS)
        assert MARK in model
        self.with_field = {MODELS: model.replace(MARK, MARK + FIELD)}
        self.files = {}

    def add(self, number, operation, declares=""):
        name = f"{FOLDER}/{self.names[number]}.py"
        self.files[name] = migration(operation, after=self.after[number], declares=declares)
        return dict(self.files)

    def expand(self):
        field = 'migrations.AddField("listing", "nickname", models.CharField(max_length=40, null=True))'
        return self.add(0, field) | self.with_field

    def backfill(self):
        fill = 'migrations.RunSQL("UPDATE listings_listing SET nickname = left(title, 40)", migrations.RunSQL.noop)'
        return self.add(1, fill, 'EXPAND = "fills a column that nobody reads yet"') | self.with_field

    def unused(self):
        gone = 'migrations.RemoveField("listing", "nickname")'
        return self.add(2, f"migrations.SeparateDatabaseAndState(state_operations=[{gone}])")

    def contract(self, since):
        drop = 'migrations.RunSQL("ALTER TABLE listings_listing DROP COLUMN nickname", migrations.RunSQL.noop)'
        return self.add(3, drop, f'CONTRACT_SINCE = "{since}"')


def test_expand_backfill_contract_over_four_releases_rolls_back_where_it_may_and_is_refused_where_not(
    site, fab, unharmed
):
    cycle, releases = Cycle(), []

    def deploy(message, files):
        commit = commits.make(message, files)
        done = fab("deploy", "--ref", commit)
        return commits.release(commit), commit, done

    def good(message, files):
        release, commit, done = deploy(message, files)
        assert done.returncode == 0, done.stdout + done.stderr
        assert site.everywhere() == {release}
        releases.append((release, commit))

    def back(release):
        done = fab("rollback")
        assert done.returncode == 0, done.stdout + done.stderr
        assert site.everywhere() == {release}

    def again(number):
        done = fab("deploy", "--ref", releases[number][1])
        assert done.returncode == 0, done.stdout + done.stderr

    good("before the column", {})
    good("1: the column comes", cycle.expand())
    assert "nickname" in columns(site)
    back(releases[0][0])
    again(1)
    good("2: it is filled", cycle.backfill())
    back(releases[1][0])
    again(2)
    good("3: nobody uses it", cycle.unused())
    back(releases[2][0])

    _early, _, done = deploy("4: too early", cycle.contract(releases[3][0]))
    assert done.returncode in (10, 14), "what serves still uses the column"
    assert cycle.names[3] in done.stdout + done.stderr
    assert "nickname" in columns(site)
    again(3)

    good("4: the column goes", cycle.contract(releases[3][0]))
    assert "nickname" not in columns(site)
    back(releases[3][0])
    done = fab("rollback")
    assert done.returncode == 15, done.stdout + done.stderr
    assert cycle.names[3] in done.stderr, "the message names the migration that stands in the way"
    assert "mend:" in done.stderr
    assert site.everywhere() == {releases[3][0]}


def test_long_open_transaction_during_a_migration_fails_no_request(site, fleet, load, unharmed):
    """It holds a lock that the migration waits for; whoever asks meanwhile must not wait behind the migration."""
    files = Cycle().expand()
    commit = commits.make("a column, while somebody reads", files)
    run = site.start("deploy", "--ref", commit)
    run.until("stage")
    with run.stopped():
        name = fleet.need("database")[0].name
        statement = "BEGIN; SELECT count(*) FROM listings_listing; SELECT pg_sleep(4); COMMIT"
        site.shell(name, f"systemd-run --quiet --collect --uid=postgres psql -d booking -qc '{statement}'")
        held = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(4)%' AND pid <> pg_backend_pid()"
        site.wait(lambda: int(site.sql(held)) > 0, "the open transaction")
    began = time.monotonic()
    waits = "SELECT count(*) FROM pg_locks WHERE relation = 'listings_listing'::regclass AND NOT granted"
    site.wait(lambda: int(site.sql(waits)) > 0, "the migration waiting for its lock: the control", 20)
    assert run.end() == 0, run.said
    assert "nickname" in columns(site)
    slowest = max(each.seconds for each in load.since(began) if each.kind in ("GET", "POST"))
    assert slowest < 5, "nobody waited for much longer than one attempt"


def test_migration_that_never_gets_its_lock_fails_with_nothing_changed(site, fleet, unharmed):
    (before,) = site.everywhere()
    name = fleet.need("database")[0].name
    commit = commits.make("a column that never comes", Cycle().expand())
    run: Run = site.start("deploy", "--ref", commit)
    run.until("stage")
    with run.stopped():
        statement = "BEGIN; SELECT count(*) FROM listings_listing; SELECT pg_sleep(120)"
        site.shell(name, "systemd-run --quiet --collect --unit=test-reader --uid=postgres "
                         f"psql -d booking -qc '{statement}'")
    try:
        assert run.end() == 10, run.said
    finally:
        site.shell(name, "systemctl stop test-reader.service || true")
        site.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)%' "
                 "AND pid <> pg_backend_pid()")
    assert "lock" in run.said
    assert site.everywhere() == {before}
    assert "nickname" not in columns(site)
