"""Who may act: one run at a time, by a lock that frees itself and a token that only rises."""

import json
import os
import threading
import time
from contextlib import contextmanager

import pytest

from lab.errors import LabError
from tests.fleet import commits

# The owner of a lock as another machine would write it: nobody here can tell whether that process lives.
ELSEWHERE = {
    "user": "ann", "machine": "elsewhere/0123abcd", "boot": "another", "pid": 4711, "started": "1",
    "since": "2026-01-01T00:00:00Z", "command": "fab deploy --env production", "run": "https://ci.example/run/7",
}


def expired(site):
    """Whether no host's lock holds any more."""
    locks = [site.status(name)["lock"] for name in site.web]
    return all(lock is None or lock["expired"] for lock in locks)


def take(site, owner):
    """Take the lock of every host for *owner*; tokens by host."""
    return {name: site.helper(name, "lock", json.dumps(owner))["token"] for name in site.web}


@contextmanager
def alive(site, tokens):
    """The owner of a lock gives its signs of life for as long as the block takes, and none afterwards."""
    stop = threading.Event()

    def beat():
        while not stop.wait(0.5):
            for name, token in tokens.items():
                site.helper(name, "beat", "--token", str(token))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def slowly(message):
    """A commit whose release takes longer to start than the 6 s that a lease of the sandbox lasts."""
    wsgi = "app/config/wsgi.py"
    return commits.make(message, {wsgi: "import time\n\ntime.sleep(6.5)\n" + commits.present(wsgi)})


def test_of_two_deploys_at_once_one_wins_and_the_other_says_who_holds_the_lock(site, fab, unharmed):
    first, second = slowly("first of two"), commits.make("second of two")
    assert fab("build", "--ref", second).returncode == 0
    run = site.start("deploy", "--ref", first)
    run.until("lock")
    done = fab("deploy", "--ref", second)
    assert done.returncode == 13, done.stdout + done.stderr
    assert f"process {run.process.pid}" in done.stderr
    assert "since" in done.stderr
    assert "fab deploy" in done.stderr
    assert run.end() == 0, run.said
    assert site.everywhere() == {commits.release(first)}


def test_second_deploy_waits_for_the_first_if_it_is_told_to(site, unharmed):
    first, second = commits.make("first in turn"), commits.make("second in turn")
    one = site.start("deploy", "--ref", first)
    one.until("lock")
    two = site.start("deploy", "--ref", second, "--wait", "60s")
    assert one.end() == 0, one.said
    assert two.end() == 0, two.said
    assert site.everywhere() == {commits.release(second)}


def test_lock_of_an_owner_on_another_machine_holds_for_its_lease_and_no_longer(site, fab, unharmed):
    """Locks left by cancelled runs, for weeks (dokku 3167; kamal 1844)."""
    commit = commits.make("after a dead owner")
    with alive(site, take(site, ELSEWHERE)):
        done = fab("deploy", "--ref", commit)
    assert done.returncode == 13, done.stdout + done.stderr
    for word in ("ann", "elsewhere", "4711", "https://ci.example/run/7"):
        assert word in done.stderr
    done = fab("deploy", "--ref", commit, "--wait", "60s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {commits.release(commit)}


@pytest.mark.parametrize("step", ["lock", "stage"])
def test_owner_stopped_past_its_lease_and_continued_cannot_act(step, site, fab, unharmed):
    """Stopped while it holds the lock and has done nothing yet, and in the middle of its work."""
    commit = commits.make("while it slept")
    sleeper = site.start("deploy", "--ref", commits.make(f"asleep after {step}"))
    sleeper.until(step)
    with sleeper.stopped():
        site.wait(lambda: expired(site), "the end of the lease", 30)
        done = fab("deploy", "--ref", commit)
        assert done.returncode == 0, done.stdout + done.stderr
        before = {name: site.status(name) for name in site.web}
    code = sleeper.end()
    # Where it slept as it opened a channel, the ssh library looks at the clock first, and gives that host up.
    assert code == 13 or (code == 14 and "Timeout opening channel" in sleeper.said), sleeper.said
    assert "Traceback" not in sleeper.said
    for name, was in before.items():
        said = site.status(name)
        for key in ("current", "activation", "running", "releases"):
            assert said[key] == was[key], key
        assert said["lock"] is None
        assert said["current"] == commits.release(commit)


def test_without_the_check_of_its_token_an_owner_that_was_replaced_acts(site, patched):
    """The control of the test above, by the helper itself: the same act under an outlived token."""
    name = site.web[0]

    def act():
        return site.helper(name, "remove", "--token", str(old), "20200101T000000Z-0000000")

    old = site.helper(name, "lock", json.dumps(ELSEWHERE))["token"]
    new = site.helper(name, "lock", "--replace", str(old), json.dumps(ELSEWHERE))["token"]
    try:
        with pytest.raises(LabError, match="ended with 13"):
            act()
        patched("lock.py", "\n\ndef require(layout, token):\n    return {'token': token, 'owner': {}}\n")
        assert "removed" in act()
    finally:
        site.helper(name, "unlock", "--token", str(new))


def test_deploy_renews_its_lease_for_as_long_as_it_works(site, fab, unharmed):
    """A start that takes longer than the lease is no reason to lose the lock."""
    began = time.monotonic()
    run = site.start("deploy", "--ref", slowly("slow to start"))
    run.until("lock")
    held = [site.status(name)["lock"] for name in site.web]
    assert all(lock["owner"]["pid"] and not lock["expired"] for lock in held)
    assert run.end() == 0, run.said
    assert time.monotonic() - began > held[0]["lease_seconds"], "it took longer than one lease"


def test_lock_names_its_owner_the_process_and_the_pipeline(site, unharmed):
    os.environ["BUILD_URL"] = "https://ci.example/job/9/"
    try:
        run = site.start("deploy", "--ref", commits.make("by a pipeline"))
        run.until("lock")
        lock = site.status(site.web[0])["lock"]
    finally:
        del os.environ["BUILD_URL"]
    assert lock["owner"]["run"] == "https://ci.example/job/9/"
    assert lock["owner"]["pid"] == run.process.pid
    assert lock["lease_seconds"] == 6
    assert run.end() == 0, run.said
