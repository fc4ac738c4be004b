"""Two engines and nobody who has to wonder which is right: what one converges the other finds nothing to change in,
and what a hand has changed both find, and mend, the same way."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
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
# What is broken off, and how long it would take (seconds): each run mends everything.
BEGUN: tuple[Callable[[str], tuple[tuple[str, ...], float]], ...] = (
    lambda env: (("fab", "provision", "--env", env), 45.0),
    lambda env: (("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--tags", ",".join(STATELESS)), 65.0),
)


def states(site: Site) -> dict[str, Any]:
    """What is there of all that the roles declare, on every host."""
    return {name: mutations.state(site, name) for name in site.fleet.hosts}


def by_pyinfra(site: Site, host: str = "") -> None:
    """A run of pyinfra, of one host or all. It must succeed."""
    run = Run("fab", "provision", "--env", site.env, *(["--limit", host] if host else []))
    assert run.end() == 0, run.said[-5000:]


def by_ansible(site: Site, host: str = "") -> None:
    """The same of Ansible."""
    done = mutations.ansible(site.env, *(["--limit", f"localhost,{host}"] if host else []))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


ENGINES: dict[str, Callable[..., None]] = {"pyinfra": by_pyinfra, "Ansible": by_ansible}


@pytest.fixture(scope="module")
def sound(site: Site, env: str) -> Iterator[dict[str, Any]]:
    """How the fleet is when all is well; and is again afterwards, whatever a test did."""
    assert mutations.by_pyinfra(env) == []
    yield states(site)
    by_ansible(site)


@pytest.fixture(scope="module")
def many(fleet: Fleet) -> list[Mutation]:
    """All mutations, of which none disturbs another."""
    found = [*mutations.everywhere(fleet), *mutations.packages(fleet)]
    assert len(found) > 100
    assert {each.kind for each in found} > {
        "mode", "owner", "content", "deleted", "link", "stopped", "disabled", "masked", "shell", "removal", "arrival",
        "an extra rule",
    }  # fmt: skip
    return found


def test_after_ansible_pyinfra_finds_nothing_to_change_and_changes_nothing(
    sound: dict[str, Any], site: Site
) -> None:
    """That it finds nothing is asked before any of these tests begins; a run of it leaves all as it was."""
    by_pyinfra(site)
    assert states(site) == sound


def test_every_change_by_hand_is_found_by_both_and_mended_by_each_the_same_way(
    sound: dict[str, Any], many: list[Mutation], site: Site, env: str
) -> None:
    mutations.make(site, many)
    one, other = mutations.by_pyinfra(env), mutations.by_ansible(env)
    assert [str(each) for each in many if not each.found(one, ansible=False)] == [], "pyinfra does not find these"
    assert [str(each) for each in many if not each.found(other, ansible=True)] == [], "Ansible does not find these"
    by_pyinfra(site)
    assert states(site) == sound
    assert mutations.by_ansible(env) == [], "after pyinfra Ansible finds nothing to change"
    mutations.make(site, many)
    by_ansible(site)
    assert states(site) == sound
    assert mutations.by_pyinfra(env) == [], "after Ansible pyinfra finds nothing to change"


def test_a_change_alone_is_found_by_both_and_mended_by_each(
    sound: dict[str, Any], many: list[Mutation], site: Site, env: str, soak: bool
) -> None:
    """Those made together could hide one another."""
    for mutation in random.sample(many, SOAK_SINGLES if soak else SINGLES):
        for engine in ENGINES.values():
            mutations.make(site, [mutation])
            limit = ("--limit", f"localhost,{mutation.host}")
            assert mutation.found(mutations.by_pyinfra(env, "--limit", mutation.host), ansible=False), str(mutation)
            assert mutation.found(mutations.by_ansible(env, *limit), ansible=True), str(mutation)
            engine(site, mutation.host)
            assert mutations.state(site, mutation.host) == sound[mutation.host], str(mutation)


def test_a_run_that_is_killed_half_way_is_completed_by_the_next_of_the_other_engine(
    sound: dict[str, Any], many: list[Mutation], site: Site, env: str, soak: bool
) -> None:
    for number in range(SOAK_KILLS if soak else KILLS):
        mutations.make(site, many)
        (command, longest), completed = (BEGUN[number % 2](env), [by_ansible, by_pyinfra][number % 2])
        run, after = Run(*command), random.uniform(2.0, longest)
        with suppress(subprocess.TimeoutExpired):
            run.process.wait(timeout=after)
        run.kill()
        completed(site)
        assert states(site) == sound, f"{command[0]} was killed after {after:.2f} s"


def test_no_host_is_an_error(fab: Callable[..., Done]) -> None:
    done = fab("provision", "--check", "--limit", "nobody")
    assert done.returncode == 2
    assert "no host is called 'nobody'" in done.stderr
    assert "one of: " in done.stderr
