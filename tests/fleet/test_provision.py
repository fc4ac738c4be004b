"""Two engines and nobody who has to wonder which is right: what one converges the other finds nothing to change in,
and what a hand has changed both find, and mend, the same way."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
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
# How long what is broken off takes at most (seconds): each run mends everything, on one host or, in the soak, on all.
LONGEST = {False: {"fab": 8.0, "ansible-playbook": 14.0}, True: {"fab": 20.0, "ansible-playbook": 30.0}}


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


def batches(chosen: Sequence[Mutation]) -> Iterator[list[Mutation]]:
    """In groups of one a host: nothing that a host does depends on what another host's file says."""
    by_host: dict[str, list[Mutation]] = {}
    for mutation in chosen:
        by_host.setdefault(mutation.host, []).append(mutation)
    for group in zip_longest(*by_host.values()):
        yield [mutation for mutation in group if mutation]


def test_a_change_alone_is_found_by_both_and_mended_by_each(
    sound: dict[str, Any], many: list[Mutation], site: Site, env: str, soak: bool
) -> None:
    """Those made together could hide one another."""
    for batch in batches(random.sample(many, SOAK_SINGLES if soak else SINGLES)):
        names = [mutation.host for mutation in batch]
        mutations.make(site, batch)
        one = mutations.by_pyinfra(env, *mutations.limit(names))
        other = mutations.by_ansible(env, *mutations.limit(names, ansible=True))
        for mutation in batch:
            assert mutation.found(one, ansible=False), f"{mutation}: pyinfra finds {one}"
            assert mutation.found(other, ansible=True), f"{mutation}: Ansible finds {other}"
        whole, told = {name: sound[name] for name in names}, [str(mutation) for mutation in batch]
        by_pyinfra(site, names)
        assert states(site, names) == whole, told
        mutations.make(site, batch)
        by_ansible(site, names)
        assert states(site, names) == whole, told


def test_a_run_that_is_killed_half_way_is_completed_by_the_next_of_either_engine(
    sound: dict[str, Any], many: list[Mutation], site: Site, env: str, hosts: list[str], soak: bool
) -> None:
    """Each engine is killed in turn, and completed by each in turn; in the soak on all hosts. A run may have ended by
    then: not every one, or nothing was tried."""
    names = hosts if soak else hosts[:1]
    chosen = [mutation for mutation in many if mutation.host in names]
    commands = (
        ("fab", "provision", "--env", env, *mutations.limit(names)),
        ("ansible-playbook", "-i", f"inventories/{env}", "site.yml", "--tags", ",".join(STATELESS),
         *mutations.limit(names, ansible=True)),
    )  # fmt: skip
    longest, killed = LONGEST[soak], set()
    for number in range(SOAK_KILLS if soak else KILLS):
        mutations.make(site, chosen)
        command, completed = commands[number % 2], (by_ansible, by_pyinfra)[(number + number // 2) % 2]
        run, after = Run(*command), random.uniform(2.0, longest[command[0]])
        try:
            run.process.wait(timeout=after)
        except subprocess.TimeoutExpired:
            run.kill()
            killed.add(command[0])
        completed(site, names)
        assert states(site, names) == {name: sound[name] for name in names}, f"{command[0]}, after {after:.2f} s"
    assert killed == set(longest)


def test_drift_is_told_of_both_parts(sound: dict[str, Any], site: Site, fleet: Fleet, fab: Callable[..., Done]) -> None:
    web, cache = fleet.need("web")[0].name, fleet.need("cache")[0].name
    changed = [(web, "/etc/issue"), (cache, "/etc/redis/redis.conf")]
    modes = [site.shell(host, f"stat -c %a {path}").strip() for host, path in changed]
    try:
        for host, path in changed:
            site.shell(host, f"chmod 0604 {path}")
        done = fab("drift", "--limit", web, "--limit", cache)
        assert done.returncode == 3, done.stdout + done.stderr
        told = done.stdout.splitlines()
        assert {f"{web}: base: /etc/issue", f"{cache}: redis: Configuration is in place"} <= set(told)
        assert {line.split(":")[0] for line in told} == {web, cache}
        assert "site.yml" in done.stderr
    finally:
        for (host, path), mode in zip(changed, modes, strict=True):
            site.shell(host, f"chmod {mode} {path}")
    done = fab("drift", "--limit", web, "--limit", cache)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_host_is_an_error(fab: Callable[..., Done]) -> None:
    done = fab("provision", "--check", "--limit", "nobody")
    assert done.returncode == 2
    assert "no host is called 'nobody'" in done.stderr
    assert "one of: " in done.stderr
