"""Two engines and nobody who has to wonder which is right: what one converges the other finds nothing to change in,
and what a hand has changed both find, and mend, the same way."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from deploy.inventory import Fleet
from deploy.specs import STATELESS
from tests.fleet import mutations
from tests.fleet.conftest import Done
from tests.fleet.mutations import Mutation
from tests.fleet.site import Run, Site

KILLS, SOAK_KILLS = 2, 20
SINGLES, SOAK_SINGLES = 1, 100
# How long what is broken off would take (seconds): each run mends everything.
LONGEST = {"fab": 30.0, "ansible-playbook": 45.0}


def states(site: Site, hosts: Sequence[str]) -> dict[str, Any]:
    """What is there of all that the roles declare."""
    return {name: mutations.state(site, name) for name in hosts}


def by_pyinfra(site: Site, hosts: Sequence[str]) -> None:
    """A run of pyinfra. It must succeed."""
    run = Run("fab", "provision", "--env", site.env, *mutations.limit(hosts))
    assert run.end() == 0, run.said[-5000:]


def by_ansible(site: Site, hosts: Sequence[str]) -> None:
    """The same of Ansible."""
    done = mutations.ansible(site.env, *mutations.limit(hosts, ansible=True))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


ENGINES: dict[str, Callable[[Site, Sequence[str]], None]] = {"pyinfra": by_pyinfra, "Ansible": by_ansible}


@pytest.fixture(scope="module")
def hosts(fleet: Fleet, soak: bool) -> list[str]:
    """The hosts that are changed by hand: one of each kind, in the soak all that there are of it."""
    web, balancers = ([host.name for host in fleet.need(group)] for group in ("web", "loadbalancers"))
    return [*(web if soak else web[:1]), *balancers]


@pytest.fixture(scope="module")
def sound(site: Site, env: str, hosts: list[str]) -> Iterator[dict[str, Any]]:
    """How the fleet is when all is well; and is again afterwards, whatever a test did."""
    assert mutations.by_pyinfra(env) == []
    yield states(site, hosts)
    by_ansible(site, hosts)


@pytest.fixture(scope="module")
def many(fleet: Fleet, hosts: list[str]) -> list[Mutation]:
    """All mutations, of which none disturbs another."""
    found = [*mutations.on(fleet, hosts), *mutations.packages(fleet)]
    assert len(found) > 100
    assert {each.kind for each in found} > {
        "mode", "owner", "content", "deleted", "link", "stopped", "disabled", "masked", "shell", "removal", "arrival",
        "an extra rule",
    }  # fmt: skip
    return found


def test_after_ansible_pyinfra_finds_nothing_to_change_and_changes_nothing(
    sound: dict[str, Any], site: Site, hosts: list[str]
) -> None:
    """That it finds nothing is asked before any of these tests begins; a run of it leaves all as it was."""
    by_pyinfra(site, hosts)
    assert states(site, hosts) == sound


def test_every_change_by_hand_is_found_by_both_and_mended_by_each_the_same_way(
    sound: dict[str, Any], many: list[Mutation], site: Site, env: str, hosts: list[str]
) -> None:
    mutations.make(site, many)
    limit = mutations.limit(hosts, ansible=True)
    one, other = mutations.by_pyinfra(env), mutations.by_ansible(env, *limit)
    assert [str(each) for each in many if not each.found(one, ansible=False)] == [], "pyinfra does not find these"
    assert [str(each) for each in many if not each.found(other, ansible=True)] == [], "Ansible does not find these"
    by_pyinfra(site, hosts)
    assert states(site, hosts) == sound
    assert mutations.by_ansible(env, *limit) == [], "after pyinfra Ansible finds nothing to change"
    mutations.make(site, many)
    by_ansible(site, hosts)
    assert states(site, hosts) == sound
    assert mutations.by_pyinfra(env) == [], "after Ansible pyinfra finds nothing to change"


def test_a_change_alone_is_found_by_both_and_mended_by_each(
    sound: dict[str, Any], many: list[Mutation], site: Site, env: str, hosts: list[str], soak: bool
) -> None:
    """Those made together could hide one another."""
    for mutation in random.sample(many, SOAK_SINGLES if soak else SINGLES):
        for engine in ENGINES.values():
            mutations.make(site, [mutation])
            one, other = mutations.limit([mutation.host]), mutations.limit([mutation.host], ansible=True)
            assert mutation.found(mutations.by_pyinfra(env, *one), ansible=False), str(mutation)
            assert mutation.found(mutations.by_ansible(env, *other), ansible=True), str(mutation)
            engine(site, [mutation.host])
            assert mutations.state(site, mutation.host) == sound[mutation.host], str(mutation)


def test_a_run_that_is_killed_half_way_is_completed_by_the_next_of_the_other_engine(
    sound: dict[str, Any], many: list[Mutation], site: Site, env: str, hosts: list[str], soak: bool
) -> None:
    for number in range(SOAK_KILLS if soak else KILLS):
        mutations.make(site, many)
        command, completed = (
            (("fab", "provision", "--env", env, *mutations.limit(hosts)), by_ansible),
            (("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--tags", ",".join(STATELESS),
              *mutations.limit(hosts, ansible=True)), by_pyinfra),
        )[number % 2]  # fmt: skip
        run, after = Run(*command), random.uniform(2.0, LONGEST[command[0]])
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(timeout=after)
        run.kill()
        completed(site, hosts)
        assert states(site, hosts) == sound, f"{command[0]} was killed after {after:.2f} s"


def test_no_host_is_an_error(fab: Callable[..., Done]) -> None:
    done = fab("provision", "--check", "--limit", "nobody")
    assert done.returncode == 2
    assert "no host is called 'nobody'" in done.stderr
    assert "one of: " in done.stderr
