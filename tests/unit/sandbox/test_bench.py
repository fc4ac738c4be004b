"""What the fleet tests and the bench count by: the load's mix, figures against goals, timelines, the report."""

import subprocess
from xml.etree import ElementTree

import pytest

from tests.bench.convergence import ratios
from tests.bench.figures import Figure, Growth, timeline
from tests.bench.naive import SOCKET, unit
from tests.bench.report import render
from tests.fleet import commits
from tests.fleet.load import Result, is_kept, kind_of, quantile

KINDS = [kind_of(number) for number in range(2000)]


def result(at, seconds=0.01, kind="GET", status=200, release="old"):
    return Result(at, seconds, kind, status, release)


def test_a_fifth_of_the_load_are_posts_and_a_tenth_is_slow():
    assert sum(kind.endswith("POST") for kind in KINDS) == 400
    assert sum(" " in kind for kind in KINDS) == 200
    assert KINDS.count("slow POST") == KINDS.count("long POST")


def test_every_kind_of_request_goes_over_kept_and_fresh_connections():
    for kind in set(KINDS):
        kept = [is_kept(number) for number, found in enumerate(KINDS) if found == kind]
        assert sum(kept) == len(kept) / 2, kind


@pytest.mark.parametrize(("status", "kind", "failed"), [
    (200, "GET", False), (201, "POST", False), (0, "GET", True), (502, "GET", True), (404, "GET", True),
    (404, "long POST", False), (503, "long POST", True),
])
def test_request_fails_by_what_its_client_would_say(status, kind, failed):
    """Only releases of the tests have a long answer: 404 is the right one of any other."""
    assert result(0, kind=kind, status=status).failed is failed


def test_quantile_leaves_out_what_is_slow_by_design():
    results = [result(number) for number in range(1000)] + [result(0, 9.0, "long POST")] * 200
    assert quantile(results, 0.99) < 0.02


def test_figure_is_judged_by_its_median():
    assert Figure("x", [0.5, 9.0, 1.0], 1.0).reached
    assert not Figure("x", [0.5, 1.2, 1.1], 1.0).reached
    assert Figure("x", [99.0]).reached, "a comparison has no goal to miss"
    assert Figure("failed", [0], 0, "{:.0f}").row() == ["failed", "0", "", "at most 0", "reached"]


def test_timeline_holds_the_requests_around_a_run_and_says_who_answered():
    results = [result(at, release="new" if at > 12 else "old", status=503 if at == 13 else 200) for at in range(30)]
    found = timeline("A deploy", results, "new", 10, [(12, "swap")], 15)
    assert [dot.kind for dot in found.dots] == ["old"] * 4 + ["failed"] + ["new"] * 3
    assert (found.marks, found.length, found.failed) == ([(3, "swap")], 7, 1)


def test_report_is_one_file_with_a_dot_for_each_request():
    found = timeline("A <deploy>", [result(at / 10) for at in range(100)], "new", 2, [(3, "stage")], 8)
    html = render([("machine", "2 cores")], [Figure("x", [2.0], 1.0)], [found])
    assert html.count("<circle") == len(found.dots)
    assert "A &lt;deploy&gt;" in html
    assert "MISSED" in html
    assert "http://" not in html
    assert "https://" not in html
    svg = html[html.index("<svg"):html.index("</svg>") + len("</svg>")]
    ElementTree.fromstring(svg)


def test_report_draws_how_something_grows():
    growth = Growth("hosts & seconds", [2, 4, 8], {"script": [0.5, 0.9, 2.0], "Ansible": [14, 22, 44]})
    html = render([], [], growths=[growth])
    assert [len(points.split('"')[0].split()) for points in html.split('points="')[1:]] == [3, 3]
    ElementTree.fromstring(html[html.index("<svg"):html.index("</svg>") + len("</svg>")])
    assert "Requests" not in html


def test_a_ratio_is_one_rounds():
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_naive_unit_runs_the_same_process_as_the_engines():
    template = (commits.ROOT / "templates/etc/systemd/system/booking-web@.service.j2").read_text()
    found = unit(template)
    assert f"--bind unix:{SOCKET}" in found
    assert "%i" not in found
    assert "--preload" in found
    assert "Type=notify" in found


def test_commit_of_the_tests_leaves_no_trace_in_index_or_work_tree():
    def said(*words):
        return subprocess.run(["git", *words], cwd=commits.ROOT, check=True, capture_output=True, text=True).stdout

    before = said("status", "--porcelain"), said("rev-parse", "HEAD"), said("stash", "list")
    first = commits.make("one", {"app/new.py": "x = 1\n", "app/README.md": None})
    second = commits.make("two")
    assert (said("status", "--porcelain"), said("rev-parse", "HEAD"), said("stash", "list")) == before
    assert said("show", f"{first}:app/new.py") == "x = 1\n"
    assert "README.md" not in said("ls-tree", "--name-only", f"{first}:app")
    assert commits.release(first) < commits.release(second), "release ids sort as they were made"
