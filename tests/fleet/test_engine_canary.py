"""A first host on trial, and releases that come where every request fails: what counts against a release."""

import json
import time

from tests.fleet import commits
from tests.fleet.load import Load, describe

CANARY_RATE = 60
CANARY = "12s"  # in which each of three hosts has its 200 requests


def steady(fleet):
    """A load without answers that take their time: these are one in twenty, which makes any p95 a matter of chance."""
    return Load(fleet, CANARY_RATE, slow_seconds=0.0)


def deploy(fab, message, files=None, *arguments):
    """Deploy a new commit; its release id, and what came of it."""
    commit = commits.make(message, files)
    return commits.release(commit), fab("deploy", "--ref", commit, *arguments)


SPOILT = """

class Spoilt:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        from django.http import JsonResponse
        if request.method == "GET" and request.path.startswith("/api/v1/listings/"):
            return JsonResponse({"spoilt": True}, status=500)
        return self.get_response(request)
"""


def spoilt():
    """A release that is ready and answers every reader with 500."""
    path, settings = "app/booking/core/middleware.py", "app/config/settings.py"
    named = '    "django.middleware.security.SecurityMiddleware",'
    return {
        path: commits.present(path) + SPOILT,
        settings: commits.present(settings).replace(named, f'    "booking.core.middleware.Spoilt",\n{named}'),
    }


def test_canary_that_answers_like_the_others_goes_on(site, fleet, fab):
    with steady(fleet) as load:
        release, done = deploy(fab, "a good canary", None, "--canary", CANARY, "--budget", "1%")
        assert done.returncode == 0, done.stdout + done.stderr
        load.settle()
    assert site.everywhere() == {release}
    assert load.failures == [], describe(load.results)


def test_canary_that_fails_more_than_its_budget_goes_back(site, fleet, fab):
    (before,) = site.everywhere()
    with steady(fleet) as load:
        release, done = deploy(fab, "a bad canary", spoilt(), "--canary", CANARY, "--budget", "1%")
        assert done.returncode == 11, done.stdout + done.stderr
        began = time.monotonic()
        load.settle()
    assert site.everywhere() == {before}
    assert {each.release for each in load.failures} == {release}, "only the canary failed, and the load knows it"
    assert not [each for each in load.failures if each.at > began], "and nobody else afterwards"


def test_canary_with_too_few_requests_says_that_it_cannot_be_judged_and_goes_back(site, fab):
    """No load but the engine's own probe, and a trial too short for 200 requests."""
    (before,) = site.everywhere()
    _, done = deploy(fab, "an idle canary", None, "--canary", "3s", "--budget", "1%")
    assert done.returncode == 11, done.stdout + done.stderr
    assert "too few requests to judge" in done.stderr
    assert "200" in done.stderr
    assert site.everywhere() == {before}


def test_canary_of_one_web_host_is_refused(site, fab):
    (before,) = site.everywhere()
    without = [word for name in site.web[1:] for word in ("--without", name)]
    _, done = deploy(fab, "nothing to compare with", None, "--canary", "5s", "--budget", "1%", *without)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "canary" in done.stderr
    assert site.everywhere() == {before}


def down_everywhere(site, client):
    """Every request fails: no host has a process that serves."""
    for name in site.web:
        site.shell(name, "systemctl stop 'booking-web@*'")
    site.wait(lambda: client.request("GET", "/healthz").status_code >= 500, "the outage")


def test_fix_goes_out_while_every_request_fails(site, fab, client):
    """Rule 10: a broken site can always be fixed."""
    down_everywhere(site, client)
    release, done = deploy(fab, "the fix")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {release}
    measured = site.ledger(site.web[0])[-1]["measured"]
    assert measured["failures"] > 0, "the probe saw them"
    assert measured["counted"] == 0, "and did not hold them against the fix"


def test_rollback_goes_through_while_every_request_fails(site, fab, client):
    deploy(fab, "before the outage")
    (before,) = site.everywhere()
    _, done = deploy(fab, "of the outage")
    assert done.returncode == 0, done.stdout + done.stderr
    down_everywhere(site, client)
    done = fab("rollback")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {before}
    assert client.ask("GET", "/healthz", 200)["release"] == before


def test_first_release_comes_up_where_every_request_fails(site, fab, client):
    """The first deploy (kamal 1652, 1700, 1180): hosts that have nothing, behind a balancer that answers 503."""
    for name in site.web:
        token = str(site.helper(name, "lock", json.dumps({"user": "test", "machine": "test", "pid": 1}))["token"])
        site.helper(name, "clear", "--token", token)
        site.helper(name, "unlock", "--token", token)
    assert site.everywhere() == {None}
    site.wait(lambda: client.request("GET", "/healthz").status_code >= 500, "the outage")
    release, done = deploy(fab, "the first")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {release}
    assert client.ask("GET", "/healthz", 200)["release"] == release


def test_worker_host_and_operator_commands_answer(fab, site):
    done = fab("manage", "check")
    assert done.returncode == 0, done.stdout + done.stderr
    done = fab("logs", "--lines", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    done = fab("preflight")
    assert done.returncode == 0, done.stdout + done.stderr
