"""The way back: warm and cold, further back, never onto what failed; restarts; what is kept."""

import json
import time

import pytest

from tests.fleet import commits

# From the start of the command to its end; the goals of the design are the bench's. This is a bound on nonsense.
ROLLBACK_SECONDS = 60


def deploy(fab, message, files=None):
    """Deploy a new commit; its release id."""
    commit = commits.make(message, files)
    done = fab("deploy", "--ref", commit)
    assert done.returncode == 0, done.stdout + done.stderr
    return commits.release(commit)


def rolled_back(fab):
    began = time.monotonic()
    done = fab("rollback")
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began < ROLLBACK_SECONDS
    return done.stdout


def steps(site):
    """What the last run did, as the ledger of the first host has it: titles."""
    return set(site.ledger(site.web[0])[-1]["seconds"])


def warm(site, name):
    return {each.rpartition(".")[0] for each in site.status(name)["warm"]}


def test_rollback_switches_to_what_is_warm_and_a_second_one_goes_further_back(site, fab, unharmed):
    """A rollback that needs a SHA to be found under stress (kamal 1658, 1677, 1766)."""
    releases = [deploy(fab, f"release {number}") for number in range(3)]
    activations = {name: site.status(name)["warm"] for name in site.web}
    assert all(warm(site, name) == {releases[1]} for name in site.web)
    rolled_back(fab)
    assert site.everywhere() == {releases[1]}
    for name in site.web:
        assert [site.status(name)["activation"]] == activations[name], "it was not started anew"
    rolled_back(fab)
    assert site.everywhere() == {releases[0]}
    entries = site.ledger(site.web[0])[-2:]
    assert [(entry["action"], entry["release"], entry["outcome"]) for entry in entries] == [
        ("rollback", releases[1], "good"), ("rollback", releases[0], "good"),
    ]


def test_rollback_is_cold_where_nothing_is_warm_any_more(site, fab, unharmed):
    first = deploy(fab, "to be cold")
    deploy(fab, "after it")
    for name in site.web:
        for activation in site.status(name)["warm"]:
            # What the timer would do once the time is over.
            site.helper(name, "cool", activation)
        assert warm(site, name) == set()
    rolled_back(fab)
    assert site.everywhere() == {first}
    assert "start" in steps(site)


def test_previous_release_is_ended_when_its_time_is_over(site, fab, unharmed):
    """The timer is there; what it starts ends the warm release and nothing else."""
    deploy(fab, "to be ended")
    after = deploy(fab, "that goes on")
    for name in site.web:
        (activation,) = site.status(name)["warm"]
        timers = site.shell(name, "systemctl list-units --all --plain --full --no-legend 'booking-cool*.timer'")
        assert activation in timers
        site.shell(name, f"systemctl start 'booking-cool-{activation}.service'")
        site.wait(lambda name=name: not site.status(name)["warm"], "the end of what was warm", 30)
        assert site.status(name)["current"] == after
        assert site.serves(name)


def test_nothing_stays_warm_at_zero_minutes(site, fab, variant, unharmed):
    first = deploy(fab, "not to stay warm")
    commit = commits.make("with nothing warm beside it")
    env = variant(release_warm_minutes=0)
    done = fab("deploy", "--ref", commit, environment=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(warm(site, name) == set() for name in site.web)
    done = fab("rollback", environment=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {first}


def test_rollback_never_lands_on_a_release_that_failed(site, fab, unharmed):
    """A rollback that lands on a bad release (trellis 1148; ansistrano 209; deployer 814)."""
    good = deploy(fab, "good before a bad one")
    bad = commits.make("bad", {"app/config/wsgi.py": "raise RuntimeError('bad by design')\n"})
    assert fab("deploy", "--ref", bad).returncode == 10
    deploy(fab, "good after a bad one")
    rolled_back(fab)
    assert site.everywhere() == {good}


def test_rollback_says_what_it_did_and_it_is_so(site, fab, client, unharmed):
    """A rollback that says it worked and did nothing (coolify 8445; capistrano 1556)."""
    before = deploy(fab, "to be seen again")
    deploy(fab, "to be left")
    assert before in rolled_back(fab)
    assert client.ask("GET", "/healthz", 200)["release"] == before


def test_pruning_keeps_the_current_the_warm_and_the_last_good_ones(site, fleet, fab, unharmed):
    """Cleanup that evicts good releases (trellis 1148; ansistrano 209; deployer 814)."""
    keep = int(fleet.value(site.web[0], "release_keep"))
    good = [deploy(fab, f"kept {number}") for number in range(2)]
    bad = commits.make("not to be kept", {"app/config/wsgi.py": "raise RuntimeError('bad by design')\n"})
    assert fab("deploy", "--ref", bad).returncode == 10
    good += [deploy(fab, f"kept {number}") for number in range(2, keep)]
    for name in site.web:
        held = set(site.status(name)["releases"])
        assert set(good[-keep:]) <= held
        assert commits.release(bad) not in held, "a release that failed is none of the good ones"
        assert warm(site, name) <= held
        assert len(held) <= keep + 1
        referred = {json.loads(path.read_text())["venv"]
                    for path in site.path(name, "/srv/booking/releases").glob("*/manifest.json")}
        assert {path.name for path in site.path(name, "/srv/booking/venvs").iterdir()} == referred


@pytest.fixture
def other_name(site, fab):
    """One more host name in the settings of every web host, for one test."""
    changed = []
    for name in site.web:
        path = site.path(name, "/etc/booking/environment")
        changed.append((path, path.read_text()))
        path.write_text(changed[-1][1].replace("BOOKING_ALLOWED_HOSTS=", "BOOKING_ALLOWED_HOSTS=other.test,"))
    yield "other.test"
    for path, text in changed:
        path.write_text(text)
    done = fab("restart")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(site.status(name)["stale"] for name in site.web)


def test_restart_brings_changed_settings_to_the_same_release(site, fab, client, other_name, unharmed):
    (before,) = site.everywhere()

    def asked():
        return client.request("GET", "/api/v1/listings/", headers={"Host": other_name}).status_code

    assert all(site.status(name)["stale"] for name in site.web)
    assert asked() == 400, "the control: what runs does not know the new settings"
    done = fab("restart")
    assert done.returncode == 0, done.stdout + done.stderr
    assert asked() == 200
    assert site.everywhere() == {before}
    assert not any(site.status(name)["stale"] for name in site.web)


def test_what_was_started_with_other_settings_is_not_warm(site, fab, other_name, unharmed):
    """A rollback after the settings changed starts the old release anew, with the new ones."""
    first = deploy(fab, "before the settings were known")
    deploy(fab, "with the settings")
    for name in site.web:
        path = site.path(name, "/etc/booking/environment")
        path.write_text(path.read_text().replace("other.test,", "other.test,third.test,"))
        assert warm(site, name) == set()
    rolled_back(fab)
    assert site.everywhere() == {first}
    assert not any(site.status(name)["stale"] for name in site.web)


def test_worker_processes_are_replaced_with_the_release_and_drained(site, fleet, fab, unharmed):
    def workers(name):
        rows = site.shell(name, "systemctl list-units --plain --no-legend 'booking-worker@*'").splitlines()
        return [row.split()[0] for row in rows]

    before = {each.name: workers(each.name) for each in fleet.need("workers")}
    release = deploy(fab, "with workers of its own")
    for name, (unit,) in before.items():
        (after,) = workers(name)
        assert release in after, "old workers do not stay warm"
        said = site.shell(name, f"journalctl --no-pager -q -o cat -u '{unit}'")
        assert "Warm shutdown" in said, "they were asked to end, and let"


def test_ledger_knows_who_what_when_and_how_it_was_measured(site, fab, unharmed):
    release = deploy(fab, "to be remembered")
    for name in site.web:
        entry = site.ledger(name)[-1]
        assert (entry["action"], entry["release"], entry["outcome"]) == ("deploy", release, "good")
        for key in ("started", "finished", "who", "machine", "commit", "author", "subject", "built_by"):
            assert entry[key], key
        measured = entry["measured"]
        assert measured["requests"] >= 10
        assert measured["counted"] == 0
        assert measured["rate"] >= 15
        assert measured["p50_ms"] <= measured["p99_ms"]
    shown = fab("releases", "--json")
    assert shown.returncode == 0, shown.stderr
    assert release in json.dumps(json.loads(shown.stdout))
    assert release in fab("releases").stdout
