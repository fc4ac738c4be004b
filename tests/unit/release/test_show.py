"""deploy.release.show: what people read after a run, and what programs get."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.release import show
from deploy.release.ledger import Entry
from deploy.release.run import Summary
from deploy.release.state import HostState
from deploy.release.survey import Release, Status
from deploy.release.verify import Answer

OLD, NEW = "20261120T091500Z-0f1e2d3", "20261121T101500Z-ab12cd3"
MEASURED: dict[str, Any] = {
    "requests": 214, "failures": 0, "counted": 0, "p50_ms": 11.4, "p99_ms": 38.2, "longest_gap_ms": 62.0, "rate": 20.0,
}  # fmt: skip
DONE = Summary(
    "deploy", NEW, ["web1", "web2"], {"web1": OLD, "web2": OLD}, ["bookings.0004_note"], [], MEASURED,
    {"connect": 0.3, "build": 3.1, "write down what begins": 0.1, "stage": 0.5, "migrate": 0.4, "start": 0.8,
     "swap web1": 0.1, "verify through the balancer": 0.2, "swap web2": 0.1, "end the old": 0.2, "record": 0.1},
    6.31,
)  # fmt: skip
ENTRY = Entry(
    "1", "deploy", NEW, "good", "2026-11-21T10:15:30.123456Z", "2026-11-21T10:15:36.000000Z", "ada", "laptop/1f2e3d4c",
    "https://ci.example/run/7", commit="ab12cd3" + "0" * 33, author="Ada", measured=MEASURED, seconds={"stage": 1.25},
)  # fmt: skip
STATE = HostState("web1", NEW, f"{NEW}.2", (f"{OLD}.1", f"{NEW}.2"), (OLD, NEW), (), (f"{OLD}.1",))


def test_a_summary_says_what_serves_where_from_what_and_how_clients_fared() -> None:
    assert show.summary(DONE).splitlines() == [
        f"deploy: {NEW} serves web1, web2",
        f"  from         {OLD}",
        "  migrations   bookings.0004_note",
        "  clients      214 requests at 20/s, 0 failed, p50 11 ms, p99 38 ms, longest gap 62 ms",
        "  live         2.10 s after the first change of a host",
        "  total        6.31 s",
    ]


def test_the_summary_in_the_readme_has_the_shape_of_what_is_printed() -> None:
    """A real one stands there, pasted by hand: it must not grow older than the program."""
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text()
    shown = readme.partition("summary of a deploy: begin")[2].partition("summary of a deploy: end")[0]
    lines = [line.removeprefix("    ") for line in shown.splitlines() if line.startswith("    ")]
    assert re.match(r"deploy: \d{8}T\d{6}Z-[0-9a-f]{7} serves ", lines[0])
    printed = show.summary(DONE).splitlines()
    assert [line.split()[0] for line in lines[1:6]] == [line.split()[0] for line in printed[1:6]]


def test_time_to_live_counts_from_staging_to_the_last_proof_alone() -> None:
    assert show.live(DONE.seconds) == pytest.approx(0.5 + 0.4 + 0.8 + 0.1 + 0.2 + 0.1)
    assert show.live({"connect": 5.0, "end the old": 3.0, "record": 1.0}) == 0


def test_a_first_release_and_hosts_that_differed_are_told_as_they_were() -> None:
    assert show.previous({"web1": None, "web2": None}) == "nothing"
    assert show.previous({"web1": OLD, "web2": None}) == f"{OLD} (web1), nothing (web2)"


def test_failures_are_told_with_how_many_count_against_the_release() -> None:
    assert "3 failed (0 of them count against the release)" in show.measured(MEASURED | {"failures": 3})
    nothing_good = MEASURED | {"p50_ms": None, "p99_ms": None, "longest_gap_ms": None}
    assert "p50 -, p99 -, longest gap -" in show.measured(nothing_good)
    assert show.measured(None) == "not measured"


def test_a_host_that_was_left_out_is_told_with_the_way_back() -> None:
    notes = ["migrations: nothing new", "a killed run is undone"]
    said = show.summary(dataclasses.replace(DONE, without=["web3"], notes=notes))
    assert "nothing new" not in said, "the migrations have a row of their own"
    assert "left out     web3; drained until: fab join web3" in said
    assert "note         a killed run is undone" in said


def test_nothing_to_do_is_said_so() -> None:
    said = show.summary(dataclasses.replace(DONE, changed=False, notes=["migrations: nothing new"]))
    assert said.splitlines()[0] == f"{NEW} serves every host already; nothing to do"
    assert "clients" not in said


def test_releases_show_what_became_of_them_by_whom_and_where_they_are() -> None:
    older = dataclasses.replace(ENTRY, release=OLD, outcome="failed", run_url="", measured=None)
    said = show.releases(
        [Release(NEW, ENTRY, ["a.0002_b"], ["web1", "web2"], []), Release(OLD, older, [], [], ["web1"])]
    )
    heading, new, old = said.splitlines()
    assert heading.split()[:3] == ["release", "commit", "author"]
    for part in (NEW, "ab12cd3000", "Ada", "deploy good", "a.0002_b", "ada@laptop/1f2e3d4c https://ci.example/run/7",
                 "2026-11-21T10:15:30Z", "0/214 failed, gap 62 ms", "live on web1, web2"):  # fmt: skip
        assert part in new
    for part in (OLD, "deploy failed", "warm on web1"):
        assert part in old
    assert show.releases([]) == "no release yet: fab deploy"


def test_many_migrations_are_told_by_the_last_and_a_number() -> None:
    row = Release(NEW, ENTRY, [f"a.{number:04}" for number in range(40)], ["web1"], [])
    assert "a.0039 and 39 more" in show.releases([row])
    assert "a.0038" in show.as_json([row])


def _status(**changes: Any) -> Status:
    return dataclasses.replace(Status([STATE], [ENTRY], {}, {"192.0.2.1": Answer(200, NEW)}), **changes)


def test_status_begins_each_row_with_the_host_and_its_release() -> None:
    """Programs and tests read the rows so."""
    heading, row, balancer, *_ = show.status(_status()).splitlines()
    assert heading.split() == ["host", "release", "serving", "kept", "notes"]
    assert row.split()[:4] == ["web1", NEW, f"{NEW}.2", "2"]
    assert row.endswith(f"warm: {OLD}.1")
    assert "also runs" not in row, "what is warm is there on purpose"
    assert balancer.startswith(f"load balancer 192.0.2.1: 200 from release {NEW}")


@pytest.mark.parametrize(
    ("state", "part"),
    [
        (dataclasses.replace(STATE, drained=True), "drained"),
        (dataclasses.replace(STATE, stale=True), "outdated settings: fab restart"),
        (dataclasses.replace(STATE, warm=()), f"also runs {OLD}.1"),
        (dataclasses.replace(STATE, running=()), "(not running)"),
        (HostState("web1", None, None, (), (), ()), "nothing"),
    ],
)
def test_status_says_what_is_unusual_about_a_host(state: HostState, part: str) -> None:
    assert part in show.status(_status(states=[state]))
    assert part not in show.status(_status()), "the control"


def test_status_tells_of_hosts_that_do_not_answer_of_locks_and_of_maintenance() -> None:
    said = show.status(_status(
        missing={"web2": "no connection"}, locks={"web1": "ada holds the lock"},
        maintenance={"lb1": {"on": True, "retry_after": 300, "since": 1.0}, "lb2": {"on": False, "retry_after": 300}},
    ))  # fmt: skip
    assert "web2: no connection" in said
    assert "web1: ada holds the lock" in said
    assert "lb1: maintenance is on, Retry-After 300 s" in said
    assert "lb2" not in said


def test_json_holds_every_field() -> None:
    found = json.loads(show.as_json(_status()))
    assert found["states"][0]["current"] == NEW
    assert found["entries"][0]["measured"] == MEASURED
    assert found["answers"]["192.0.2.1"]["status"] == 200
    (release,) = json.loads(show.as_json([Release(NEW, ENTRY, [], ["web1"], [])]))
    assert (release["id"], release["last"]["author"], release["live"]) == (NEW, "Ada", ["web1"])
