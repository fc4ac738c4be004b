"""What the load balancers do for a release: drains that last, maintenance, hosts left out and joined."""

import time
from contextlib import contextmanager

from deploy.release.verify import tag
from lab import faults
from tests.fleet import commits
from tests.fleet.conftest import tool
from tests.fleet.load import describe, failures

CUT_SECONDS = 3.0  # until the balancers know that a host is gone


def tags(results):
    """The hosts that answered, by the mark that each puts on its answers."""
    return {each.server for each in results if each.server}


def apart(load, seconds=2):
    """The hosts that answer what is asked from now on."""
    began = time.monotonic()
    load.settle(seconds)
    return tags(each for each in load.results if each.at >= began)


def test_drained_host_gets_no_request_until_it_is_undrained(site, load, fab, unharmed):
    everybody = apart(load)
    assert everybody == {tag(name) for name in site.web}, "the control: all hosts answer"
    assert fab("drain", "web2").returncode == 0
    assert apart(load) == everybody - {tag("web2")}
    assert fab("undrain", "web2").returncode == 0
    assert apart(load) == everybody


def test_drain_lasts_through_site_yml(site, fleet, env, drained):
    """What else it outlasts, both engines show (test_failover.py)."""
    name = fleet.group("loadbalancers")[0].name
    done = tool("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--limit", f"localhost,{name}")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert site.drained() == [drained]
    assert {site.balancer("status")["servers"][web] == "UP" for web in site.web if web != drained} == {True}
    assert site.balancer("status")["servers"][drained] not in ("UP", "no check")


def test_last_host_in_rotation_cannot_be_drained(site, fab, unharmed):
    last, *others = site.web
    try:
        for name in others:
            assert fab("drain", name).returncode == 0, "the control: one that is not the last can be"
        done = fab("drain", last)
        assert done.returncode != 0
        assert "maintenance" in done.stderr
        assert site.drained() == others
    finally:
        for name in others:
            assert fab("undrain", name).returncode == 0


def test_maintenance_answers_503_and_lets_health_checks_through(site, fleet, fab, client):
    name = fleet.group("loadbalancers")[0].name
    done = fab("maintenance", "--on", "--retry-after", "7m")
    assert done.returncode == 0, done.stderr
    try:
        for _ in range(2):
            answer = client.request("GET", "/api/v1/listings/")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "420")
            assert answer.headers["Content-Type"].startswith("text/html")
            assert client.request("GET", "/readyz").status_code == 200
            assert client.request("GET", "/healthz").status_code == 200
            site.shell(name, "systemctl reload haproxy.service")
    finally:
        done = fab("maintenance", "--off")
    assert done.returncode == 0, done.stderr
    assert client.request("GET", "/api/v1/listings/").status_code == 200


def test_host_that_is_gone_is_left_out_by_name_and_joins_again(lab, site, load, fab):
    """Rule 6: refused, then left out knowingly and drained; back in rotation only with the present release."""
    began = time.monotonic()
    faults.cut(lab, site.host("web2"))
    try:
        commit = commits.make("without web2")
        release, done = commits.release(commit), fab("deploy", "--ref", commit)
        assert done.returncode == 14, done.stdout + done.stderr
        assert "web2" in done.stderr
        assert "--without web2" in done.stdout + done.stderr
        done = fab("deploy", "--ref", commit, "--without", "web2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert site.current("web1") == release
    finally:
        faults.mend(lab, site.host("web2"))
    assert site.drained() == ["web2"]
    site.wait(lambda: site.balancer("status")["servers"]["web2"] != "DOWN", "web2 answering its balancer again")
    seen = time.monotonic()
    load.settle()
    after = [each for each in load.results if each.at >= seen]
    assert {each.release for each in after if each.release} == {release}, "the old release serves nobody"
    done = fab("join", "web2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.drained() == []
    assert site.everywhere() == {release}
    # Clients go where the fewest are: what hung on the host as it was cut counts until its time is over.
    joined, everybody = time.monotonic(), {tag(name) for name in site.web}
    site.wait(lambda: tags(each for each in load.results if each.at >= joined) == everybody, "requests for every host")
    lost = [each for each in failures(load.since(began)) if each.at > began + CUT_SECONDS]
    assert not lost, describe(lost)


@contextmanager
def without_ssh(lab, site, names):
    """Hosts that go on serving, and that nobody can speak to."""
    for name in names:
        faults.cut(lab, site.host(name), ssh_only=True)
    try:
        yield
    finally:
        for name in names:
            faults.mend(lab, site.host(name))


def test_rollback_goes_on_without_a_host_that_cannot_be_reached_while_most_are_there(lab, site, fab, unharmed):
    """What cannot be reached is drained and joins later; the others have gone back together."""
    first, second = (commits.make(word) for word in ("to go back to", "to go back from"))
    for commit in (first, second):
        assert fab("deploy", "--ref", commit).returncode == 0
    away = site.web[-1]
    with without_ssh(lab, site, [away]):
        done = fab("rollback")
    assert done.returncode == 0, done.stdout + done.stderr
    assert away in done.stdout + done.stderr
    assert {site.current(name) for name in site.web if name != away} == {commits.release(first)}
    assert site.drained() == [away], "the release that was left serves nobody"
    done = fab("join", away)
    assert done.returncode == 0, done.stdout + done.stderr
    assert site.everywhere() == {commits.release(first)}
    assert site.drained() == []


def test_rollback_refuses_where_most_cannot_be_reached(lab, site, fab):
    (before,) = site.everywhere()
    away = site.web[1:]
    with without_ssh(lab, site, away):
        done = fab("rollback")
    assert done.returncode in (14, 15), done.stdout + done.stderr
    assert all(name in done.stderr for name in away), done.stderr
    assert site.everywhere() == {before}
    assert site.drained() == []
