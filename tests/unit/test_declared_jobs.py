"""Which scheduled jobs the roles declare, and what is refused."""

from __future__ import annotations

import pytest

from deploy import declarations
from deploy.errors import UsageError
from tests.unit.specimen import ENVIRONMENT, GROUPS, Specimen

JOB = {"name": "sweep", "schedule": "*/5 * * * *", "command": "sweep 'a b'", "user": "root", "timeout_seconds": 60}


@pytest.fixture
def scheduled(specimen: Specimen) -> Specimen:
    """The specimen with two roles that declare jobs, on hosts of `web` and on all."""
    for role, group in (("nginx", "web"), ("base", "web, loadbalancers")):
        specimen.add(f"roles/{role}/meta/declares.yml", f"crons: [{{jobs: {role}_crons, groups: [{group}]}}]\n")
        specimen.add(
            f"roles/{role}/meta/argument_specs.yml",
            f"      {role}_crons: {{type: list, elements: dict, default: [], description: Jobs.}}\n",
        )
    specimen.add("roles/base/defaults/main.yml", "base_crons: []\n")
    specimen.write("roles/nginx/defaults/main.yml", "{nginx_port: 8080, nginx_crons: []}")
    return specimen


def test_jobs_are_those_of_the_roles_of_a_host_whose_groups_are_named_by_name(scheduled: Specimen) -> None:
    mine: dict[str, dict[str, object]] = {
        "web1": {"nginx_crons": [JOB], "base_crons": [JOB | {"name": "a-first", "needs": "/srv/current"}]},
        "db1": {"base_crons": [JOB], "nginx_crons": [JOB]},
    }
    view = scheduled.view(GROUPS, **mine)
    assert [job.plain() for job in declarations.crons(view, "web1")] == [
        JOB | {"name": "a-first", "needs": "/srv/current"}, JOB | {"needs": ""},
    ]  # fmt: skip
    assert declarations.crons(view, "lb1") == []
    assert declarations.crons(view, "db1") == [], "its group is not named"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Sweep"}, r"nginx_crons\[0\]\.name of host 'web1': begins with a lower-case letter"),
        ({"name": "../x"}, "lower-case letter"),
        ({"schedule": "61 * * * *"}, r"nginx_crons\[0\]\.schedule of host 'web1': the minute '61'"),
        ({"command": "echo 'a"}, "cannot be split into words"),
        ({"command": " "}, "is empty"),
        ({"user": "root root"}, "is not the name of a user"),
        ({"timeout_seconds": 0}, "is at least 1"),
        ({"needs": "srv"}, "is an absolute path"),
        ({"name": "taken"}, "another job is called taken"),
    ],
)
def test_a_job_that_cannot_be_run_as_it_is_written_is_an_error(
    scheduled: Specimen, change: dict[str, object], message: str
) -> None:
    values: dict[str, dict[str, object]] = {
        "web1": {"nginx_crons": [JOB | change], "base_crons": [JOB | {"name": "taken"}]}
    }
    with pytest.raises(UsageError, match=message):
        declarations.crons(scheduled.view(GROUPS, **values), "web1")


def test_a_job_in_an_inventory_that_cannot_be_run_is_told_with_its_line(scheduled: Specimen) -> None:
    job = '  - {name: sweep, schedule: "0 * * * *", command: sweep, user: root, timeout_seconds: 9}\n'
    scheduled.add(ENVIRONMENT, f"base_crons:\n{job}")
    assert scheduled.problems() == []
    scheduled.add(ENVIRONMENT, f"nginx_crons:\n{job}  - name: late\n    schedule: 0 25 * * *\n    command: x\n"
                               "    user: root\n    timeout_seconds: 1\n")  # fmt: skip
    late = "nginx_crons[1].schedule: the hour '25' is not within 0 to 23"
    twice = "nginx_crons[0].name: on host 'web1' a job of base_crons is called sweep as well"
    assert scheduled.problems() == [
        f"{ENVIRONMENT}:7: {twice}", f"{ENVIRONMENT}:7: {twice.replace('web1', 'web2')}", f"{ENVIRONMENT}:9: {late}",
    ]  # fmt: skip
