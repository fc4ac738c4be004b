"""Releases under load: nothing is lost, and what cannot be done is refused with nothing changed."""

import os
import signal
import subprocess

import pytest

from tests.fleet.conftest import ROOT, TOOLS
from tests.fleet.load import Load

RATE = 60


def settle(load, seconds=2):
    """Let the load run on past the switch, so that what breaks late is seen."""
    load.wait_for(len(load.results) + int(load.rate * seconds))


def describe(load):
    return "\n".join(f"{each.method} {each.status} {each.error}" for each in load.failures[:10])


def test_rollback_with_nothing_to_roll_back_to_is_refused_and_changes_nothing(fab, client):
    """Comes first: the fleet has been raised, and one release is all that it has had."""
    before = client.ask("GET", "/healthz", 200)["release"]
    ledger = fab("status").stdout.partition("started")[2]
    assert ledger.count(" good ") == 1, "this needs a sandbox that has had one release: make down, make up"
    done = fab("rollback")
    assert done.returncode == 15, done.stdout + done.stderr
    assert "no earlier good release" in done.stderr
    assert "mend:" in done.stderr
    assert client.ask("GET", "/healthz", 200)["release"] == before


def test_deploy_and_rollback_under_load_lose_no_request(fleet, fab, client, fresh_commit, soak):
    """Rolling updates that still drop requests (coolify 8627, 4817, 7313; caprover 191, 661)."""
    fab("deploy", "--ref", "HEAD")
    for number in range(20 if soak else 2):
        before = client.ask("GET", "/healthz", 200)["release"]
        commit = fresh_commit(f"release {number}")
        with Load(fleet, RATE) as load:
            done = fab("deploy", "--ref", commit)
            assert done.returncode == 0, done.stdout + done.stderr
            settle(load)
        assert load.failures == [], describe(load)
        assert load.achieved >= 50
        assert {result.release for result in load.results} > {before}, "both releases answered"
        after = client.ask("GET", "/healthz", 200)["release"]
        assert after.endswith(commit[:7])

        with Load(fleet, RATE) as load:
            done = fab("rollback")
            assert done.returncode == 0, done.stdout + done.stderr
            settle(load)
        assert load.failures == [], describe(load)
        assert load.achieved >= 50
        assert client.ask("GET", "/healthz", 200)["release"] == before


@pytest.mark.parametrize("step", ["preflight", "stage", "start", "swap"])
def test_interrupted_deploy_leaves_the_fleet_whole_and_the_next_completes(step, env, fleet, fab, client, fresh_commit):
    """Ctrl-C at any time: the load is served throughout, and no lock, unit or release is left in the way."""
    before = client.ask("GET", "/healthz", 200)["release"]
    commit = fresh_commit(f"interrupted at {step}")
    with Load(fleet, RATE) as load:
        process = subprocess.Popen(
            [str(TOOLS / "fab"), "deploy", "--ref", commit, "--env", env], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if step in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert "Traceback" not in said
        settle(load)
        releases = {row.split()[1] for row in fab("status").stdout.splitlines() if row.startswith("web")}
        assert releases == {before}, "every host is back, whatever was under way on it"
        assert client.ask("GET", "/healthz", 200)["release"] == before
        done = fab("deploy", "--ref", commit)
        assert done.returncode == 0, done.stdout + done.stderr
        settle(load)
    assert load.failures == [], describe(load)
    assert client.ask("GET", "/healthz", 200)["release"].endswith(commit[:7])


def test_restarting_everything_at_once_loses_requests(fleet, on):
    """The control of the test above: the same load sees the loss when the switch is not used."""
    with Load(fleet, RATE) as load:
        for host in fleet.group("web"):
            on(host.name, "systemctl restart 'booking-web@*'")
        settle(load, 3)
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
