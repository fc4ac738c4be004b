"""The protections taken away, one at a time, on the test's own hosts: the load sees what each is for."""

import pytest

from tests.fleet import commits
from tests.fleet.load import Load, describe

# Longer than it takes from the switch of a host to the end of its old processes, shorter than their drain.
HELD_SECONDS = 4.0
DROP_IN = "/etc/systemd/system/booking-web@.service.d/90-test.conf"


@pytest.fixture
def killed_at_its_end(site):
    """Web processes that are ended without a moment for what they have in hand."""
    for name in site.web:
        site.shell(name, f"mkdir -p {DROP_IN.rpartition('/')[0]}; "
                         f"printf '[Service]\\nKillMode=control-group\\nKillSignal=SIGKILL\\n' > {DROP_IN}; "
                         "systemctl daemon-reload")
    yield
    for name in site.web:
        site.shell(name, f"rm -r {DROP_IN.rpartition('/')[0]}; systemctl daemon-reload")


def deploy(fab, message, **options):
    commit = commits.make(message)
    return fab("deploy", "--ref", commit, **options)


def test_without_the_readiness_gate_requests_fail(fleet, site, fab, patched):
    """The control of every deploy under load: switched to before it answers, a release loses requests."""
    patched("activations.py", "\n\ndef wait_ready(layout, activation, until, proven):\n    return None\n")
    patched("switch.py", "\n\ndef swap(layout, activation, token=None):\n    previous = current_activation(layout)\n"
                         "    point(layout, activation, token)\n    return {'previous': previous}\n")
    with Load(fleet, 50) as load:
        deploy(fab, "switched to at once")
        load.settle(4)
    assert load.failures, "the gate was gone, and nobody noticed"


def test_old_processes_finish_what_they_have_in_hand_where_nothing_stays_warm(fleet, fab, variant):
    env = variant(release_warm_minutes=0)
    deploy(fab, "before the drain")
    with Load(fleet, 50, HELD_SECONDS) as load:
        done = deploy(fab, "with a drain", environment=env)
        assert done.returncode == 0, done.stdout + done.stderr
        load.settle()
    assert load.failures == [], describe(load.results)


def test_without_the_drain_slow_requests_fail(fleet, fab, variant, killed_at_its_end):
    """The control of the test above: the same deploy, with the old processes ended at once."""
    env = variant(release_warm_minutes=0)
    deploy(fab, "before no drain")
    with Load(fleet, 50, HELD_SECONDS) as load:
        deploy(fab, "without a drain", environment=env)
        load.settle()
    assert load.failures, "processes were killed with requests in hand, and nobody noticed"
    kinds = {each.kind for each in load.failures}
    assert "long POST" in kinds
    assert "GET" not in kinds, "the balancer asks again for what may be asked twice"
