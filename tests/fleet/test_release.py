"""Releases under load: nothing is lost, and what cannot be done is refused with nothing changed."""

import signal
import subprocess
import time

import pytest

from tests.fleet import commits
from tests.fleet.load import Load, describe, failures, quantile

# A little more than what is asked for, so that it is reached. A hundred a second are the soak's, on a machine that
# does nothing else: clients, balancer, database and both releases share its two cores.
RATE, ASKED = 60, 50
SOAK_RATE, SOAK_ASKED = 105, 100
STEADY_SECONDS = 20
SOAK_REQUESTS = 10_000
# From Ctrl-C to the end of the command; a pipeline kills what takes longer (rule 9).
CLEAN_UP_SECONDS = 7


def test_rollback_with_nothing_to_roll_back_to_is_refused_and_changes_nothing(site, fab, client):
    """Comes first: the fleet has been raised, and one release is all that it has had."""
    before = client.ask("GET", "/healthz", 200)["release"]
    good = [entry for entry in site.ledger(site.web[0]) if entry["outcome"] == "good"]
    assert len(good) == 1, "this needs a sandbox that has had one release: make down, make up"
    done = fab("rollback")
    assert done.returncode == 15, done.stdout + done.stderr
    assert "no earlier good release" in done.stderr
    assert "mend:" in done.stderr
    assert client.ask("GET", "/healthz", 200)["release"] == before


def test_deploys_and_rollbacks_under_load_lose_no_request(fleet, fab, site, soak):
    """Rolling updates that still drop requests (coolify 8627, 4817, 7313; caprover 191, 661)."""
    turns = 20 if soak else 1
    made = [commits.make(f"release {number}") for number in range(turns + 1)]
    for commit in made:
        assert fab("build", "--ref", commit).returncode == 0, "built beforehand: the load shares the machine's cores"
    assert fab("deploy", "--ref", made[0]).returncode == 0
    before = commits.release(made[0])
    with Load(fleet, SOAK_RATE if soak else RATE) as load:
        load.settle(STEADY_SECONDS if soak else 2)
        steady = list(load.results)
        for commit in made[1:]:
            after = commits.release(commit)
            done = fab("deploy", "--ref", commit)
            assert done.returncode == 0, done.stdout + done.stderr
            assert site.everywhere() == {after}
            load.settle()
            done = fab("rollback")
            assert done.returncode == 0, done.stdout + done.stderr
            assert site.everywhere() == {before}
            load.settle()
    assert load.failures == [], describe(load.results)
    assert load.achieved >= (SOAK_ASKED if soak else ASKED)
    assert {result.release for result in load.results} == {commits.release(commit) for commit in made}
    share = [sum(each.kind.endswith("POST") for each in load.results), sum(" " in each.kind for each in load.results)]
    assert share[0] / len(load.results) > 0.19, "a fifth are POSTs"
    assert share[1] / len(load.results) > 0.09, "a tenth are slow"
    if soak:
        assert len(load.results) >= SOAK_REQUESTS
        ratio = load.quantile(0.99) / quantile(steady, 0.99)
        # told, and judged by the bench at a rate that leaves the two cores of a sandbox what a start takes
        print(f"\n{len(load.results)} requests, {turns} deploys and {turns} rollbacks, p99 {ratio:.2f} x steady")


@pytest.mark.parametrize("step", ["connect", "preflight", "stage", "start", "swap web1"])
def test_interrupted_deploy_leaves_the_fleet_whole_and_the_next_completes(step, site, fab, client, load):
    """Rule 9. Ctrl-C at any time: the load is served throughout, and no lock, unit or release is left in the way."""
    before, began = client.ask("GET", "/healthz", 200)["release"], time.monotonic()
    commit = commits.make(f"interrupted at {step}")
    run = site.start("deploy", "--ref", commit)
    run.until(step)
    run.signal(signal.SIGINT)
    asked = time.monotonic()
    assert run.end() == 130, run.said
    assert time.monotonic() - asked < CLEAN_UP_SECONDS
    assert "Traceback" not in run.said
    load.settle()
    assert site.everywhere() == {before}, "every host is back, whatever was under way on it"
    assert client.ask("GET", "/healthz", 200)["release"] == before
    done = fab("deploy", "--ref", commit)
    assert done.returncode == 0, done.stdout + done.stderr
    load.settle()
    assert failures(load.since(began)) == [], describe(load.since(began))
    assert client.ask("GET", "/healthz", 200)["release"].endswith(commit[:7])


def test_restarting_everything_at_once_loses_requests(fleet, on):
    """The control of the test above: the same load sees the loss when the switch is not used."""
    with Load(fleet, 50) as load:
        for host in fleet.group("web"):
            on(host.name, "systemctl restart 'booking-web@*'")
        load.settle(3)
    assert load.failures


def test_commit_that_does_not_exist_is_refused_with_nothing_changed(fab, client):
    before = client.ask("GET", "/healthz", 200)["release"]
    done = fab("deploy", "--ref", "no-such-commit")
    assert done.returncode in (2, 10)
    said = done.stdout + done.stderr
    assert "no-such-commit" in said
    assert "mend:" in said
    assert "Traceback" not in said
    assert client.ask("GET", "/healthz", 200)["release"] == before


def test_environment_that_does_not_exist_is_named_with_those_that_do(fab, env):
    done = fab("deploy", environment="nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert env in done.stderr


def test_status_shows_every_web_host_and_its_release(fab, fleet, client):
    release = client.ask("GET", "/healthz", 200)["release"]
    done = fab("status")
    assert done.returncode == 0
    for host in fleet.group("web"):
        assert host.name in done.stdout
    assert release in done.stdout


def test_same_release_again_is_no_failure(fab, client):
    before = client.ask("GET", "/healthz", 200)["release"]
    done = fab("deploy", "--ref", "HEAD")
    assert done.returncode == 0, done.stderr
    assert client.ask("GET", "/healthz", 200)["release"]
    assert before


@pytest.mark.parametrize("user", ["deploy"])
def test_deploy_account_can_run_its_helper_and_nothing_else(on, lab, fleet, user):
    host = fleet.group("web")[0]
    ssh = ["ssh", "-i", str(lab.key), "-o", f"UserKnownHostsFile={lab.known_hosts}", "-o", "BatchMode=yes",
           f"{user}@{host.address}"]
    refused = subprocess.run([*ssh, "sudo -n id"], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    asked = subprocess.run([*ssh, "sudo -n /usr/local/sbin/booking-release status"], capture_output=True, text=True,
                           check=False)
    assert asked.returncode == 0, asked.stderr
