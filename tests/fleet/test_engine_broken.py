"""Releases that must not come to serve: the old one serves everywhere, no request fails, the message says why."""

import pytest

from lab import faults
from tests.fleet import commits
from tests.fleet.commits import migration, present

WSGI, SETTINGS, GUNICORN = "app/config/wsgi.py", "app/config/settings.py", "app/config/gunicorn.py"
HEALTH, MIDDLEWARE = "app/booking/core/health.py", "app/booking/core/middleware.py"
MIGRATIONS = "app/booking/listings/migrations"


@pytest.fixture(scope="module", autouse=True)
def good(site):
    """A release of the tests' own serves: what a broken one has to be put back to."""
    run = site.start("deploy", "--ref", commits.make("good"))
    assert run.end() == 0, run.said


def before(text: str, mark: str, extra: str) -> str:
    """*text* with *extra* put in front of the first line that begins with *mark*."""
    assert f"\n{mark}" in text, f"{mark!r} is not there any more"
    head, found, tail = text.partition(f"\n{mark}")
    return f"{head}\n{extra}{found}{tail}"


def new_migration(operation: str, declares: str = "") -> dict[str, str]:
    last = commits.last_migration()
    name = f"{int(last[:4]) + 1:04}_test_broken.py"
    return {f"{MIGRATIONS}/{name}": migration(operation, after=last, declares=declares)}


def middleware(body: str) -> dict[str, str]:
    """A middleware around every answer: *body* is the inside of `__call__(self, request)`."""
    code = f"""

class Broken:
    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
{body}
"""
    named = '    "django.middleware.security.SecurityMiddleware",'
    settings = present(SETTINGS)
    assert named in settings
    return {
        MIDDLEWARE: present(MIDDLEWARE) + code,
        SETTINGS: settings.replace(named, f'    "booking.core.middleware.Broken",\n{named}'),
    }


def imports_nothing():
    return {WSGI: "import a_module_that_nobody_has\n" + present(WSGI)}


def dies_once_ready():
    return middleware("""
        import os, signal, threading
        if request.path == "/readyz":
            threading.Timer(0.02, os.kill, (os.getppid(), signal.SIGKILL)).start()
        return self.get_response(request)
""")


def stays_red():
    return middleware("""
        from django.http import JsonResponse
        if request.path == "/readyz":
            return JsonResponse({"status": "red by design"}, status=503)
        return self.get_response(request)
""")


def hangs():
    return {WSGI: "import time\n\ntime.sleep(3600)\n" + present(WSGI)}


def fails_on_second():
    """Ready on every host's own socket; asked through the second host's web server (HTTP/1.1) it is not."""
    return middleware("""
        import socket
        from django.http import JsonResponse
        through_nginx = request.META.get("SERVER_PROTOCOL") == "HTTP/1.1"
        if request.path == "/readyz" and through_nginx and socket.gethostname() == "web2":
            return JsonResponse({"status": "not here"}, status=503)
        return self.get_response(request)
""")


def wants_a_setting():
    extra = 'BOOKING_NEW = env.text("BOOKING_SETTING_OF_TOMORROW")\n'
    return {SETTINGS: before(present(SETTINGS), "env.finish()", extra)}


def divides_by_zero():
    return new_migration('migrations.RunSQL("SELECT 1 / 0")', 'EXPAND = "fails by design"')


def drops_a_column():
    return new_migration('migrations.RemoveField("listing", "place")')


# name -> (files, exit code, words of the message)
RELEASES = {
    "does not import": (imports_nothing, {10}, ["a_module_that_nobody_has", "booking-web@"]),
    # It answers once and is gone: before the switch (10), or as the first host is switched to it (11).
    "crashes once it is ready": (dies_once_ready, {10, 11}, ["booking-web@"]),
    "is not ready": (stays_red, {10}, ["red by design"]),
    "hangs at its start": (hangs, {10}, ["booking-web@"]),
    "has a migration that fails": (divides_by_zero, {10}, ["division by zero"]),
    "has a migration that is not expand-only": (drops_a_column, {10}, ["test_broken", "RemoveField"]),
    "serves the first host and not the second": (fails_on_second, {11}, ["web2", "not here"]),
    "needs a setting that the hosts lack": (wants_a_setting, {10}, ["BOOKING_SETTING_OF_TOMORROW"]),
}


def refused(said: str, code: int, codes: set[int], words: list[str]) -> None:
    """The right exit code, and a message with what is wrong, where, and what to do."""
    assert code in codes, said
    for word in words:
        assert word in said, said
    assert "mend:" in said, said
    assert "Traceback (most recent call last)" not in said.partition("last lines of")[0], said


def unchanged(site, release: str) -> None:
    """The old release serves every host, and nothing of the new one runs."""
    assert site.everywhere() == {release}
    for name in site.web:
        said = site.status(name)
        assert said["lock"] is None
        assert {each.rpartition(".")[0] for each in said["running"]} <= {release, *warm(said)}, said["running"]


def warm(said) -> set[str]:
    return {each.rpartition(".")[0] for each in said["warm"]}


@pytest.mark.parametrize("name", RELEASES)
def test_broken_release_leaves_the_old_one_serving_everywhere(name, site, fab, unharmed):
    """Automatic rollback on a failed check, and CI that turns red for it (trellis-cli 99)."""
    files, codes, words = RELEASES[name]
    (release,) = site.everywhere()
    commit = commits.make(name, files())
    done = fab("deploy", "--ref", commit)
    refused(done.stdout + done.stderr, done.returncode, codes, words)
    unchanged(site, release)
    assert commits.release(commit) not in set().union(*(warm(site.status(host)) for host in site.web))


def test_release_for_another_python_is_refused_before_anything_changes(site, fab, variant, unharmed):
    (release,) = site.everywhere()
    env = variant(release_python_version="3.14")
    done = fab("deploy", "--ref", commits.make("for another Python"), environment=env)
    refused(done.stdout + done.stderr, done.returncode, {10, 14}, ["3.14"])
    unchanged(site, release)


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def altered(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


# the static files are sent last: of a part before, the next one's bytes would take the missing ones' place
@pytest.mark.parametrize(("name", "spoil", "word"), [("static", cut_short, "truncated"), ("code", altered, "altered")])
def test_artefact_that_is_not_what_was_built_is_refused_by_the_host(name, spoil, word, site, unharmed):
    """Spoilt between the build, which has measured it, and the moment that it is sent."""
    (release,) = site.everywhere()
    # a static file of its own: those that a host has already are not sent again
    commit = commits.make(f"artefact {word}", {"app/booking/core/static/test/own.css": f"/* {word} */"})
    run = site.start("deploy", "--ref", commit)
    run.until("build")
    with run.stopped():
        (part,) = (commits.ROOT / "build/artefacts" / commits.release(commit)).glob(f"{name}.*")
        part.write_bytes(spoil(part.read_bytes()))
    code = run.end()
    refused(run.said, code, {10}, [word])
    unchanged(site, release)


def test_full_disk_on_the_second_host_changes_nothing(lab, site, fab, unharmed):
    (release,) = site.everywhere()
    commit = commits.make("no room")
    faults.fill(lab, site.host("web2"))
    try:
        done = fab("deploy", "--ref", commit)
    finally:
        faults.free(lab, site.host("web2"))
    refused(done.stdout + done.stderr, done.returncode, {10}, ["No space left on device", "web2"])
    unchanged(site, release)
    done = fab("deploy", "--ref", commit)
    assert done.returncode == 0, "the control: with its room back, the host takes the same release"


def cut_ssh_after(site, step, commit):
    """A deploy that loses its ssh to web2 once *step* is over, for good; how it ended."""
    run = site.start("deploy", "--ref", commit)
    run.until(step)
    with run.stopped():
        faults.cut(site.lab, site.host("web2"), ssh_only=True)
    try:
        return run, run.end()
    finally:
        faults.mend(site.lab, site.host("web2"))


def test_second_host_unreachable_between_stage_and_switch_changes_nothing(site, fab, unharmed):
    """Only ssh is cut: the host goes on serving the old release, and nobody's request is lost."""
    (release,) = site.everywhere()
    commit = commits.make("second host unreachable before the switch")
    run, code = cut_ssh_after(site, "stage", commit)
    refused(run.said, code, {10}, ["web2"])
    assert site.everywhere() == {release}
    assert site.drained() == []
    done = fab("deploy", "--ref", commit)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {commits.release(commit)}


def test_second_host_lost_in_mid_switch_is_drained_until_it_joins(site, fab, unharmed):
    """Rule 6: the others go back, the lost one gets no request, and the message says so."""
    (release,) = site.everywhere()
    run, code = cut_ssh_after(site, "swap web1", commits.make("second host lost in mid-switch"))
    refused(run.said, code, {11}, ["web2", "drained", "fab join web2"])
    assert site.everywhere() == {release}
    assert site.drained() == ["web2"], "what the engine cannot speak to does not serve"
    done = fab("join", "web2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.drained() == []
    unchanged(site, release)


def test_load_sees_what_a_broken_release_would_do(site, fab, load, on):
    """The control of this module."""
    began = len(load.results)
    for name in site.web:
        on(name, "systemctl kill --signal=KILL 'booking-web@*'")
    site.wait(lambda: any(each.failed for each in load.results[began:]), "a failed request", 20)
    done = fab("deploy", "--ref", commits.make("after the control"))
    assert done.returncode == 0, done.stdout + done.stderr
