"""Generated pages are fresh, written ones point at what exists, and pipelines call what a person calls."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from deploy.errors import Exit, UnchangedError
from deploy.specs import ROOT, Tree, tree
from deploy.tasks import namespace
from tests import run

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
CI = ROOT / ".github/workflows/ci.yml"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s#]+)(?:#[^)]*)?\)")
# Each would be true on one machine or in one network alone; spelt so that this file does not find itself.
FORBIDDEN = {
    "a note of unfinished work": re.compile(r"\b(?:TO[D]O|FIX[M]E)\b"),
    "a package registry": re.compile(
        r"\b(?:pypi|pythonhosted|npmjs|crates|ghcr|quay)\.(?:org|com|io)\b|galaxy\.ansible[.]com"
        r"|(?<!\S)--(?:extra-)?index-url\b"
    ),
    "a path of one machine": re.compile(r"(?<![\w.}$/-])/(?:work|Users/\w+|home/(?!ops\b|deploy\b)\w+)/"),
}


def tracked() -> list[str]:
    """Files of the repository: those that git knows and those that it would take."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(name for name in set(names) if name and (ROOT / name).is_file())


def written() -> dict[str, str]:
    """The repository's Markdown pages."""
    return {name: (ROOT / name).read_text(encoding="utf-8") for name in tracked() if name.endswith(".md")}


def findings(name: str, text: str) -> Iterator[str]:
    """What a text says that the repository may not, with its line."""
    for number, line in enumerate(text.splitlines(), 1):
        for what, pattern in FORBIDDEN.items():
            if pattern.search(line):
                yield f"{name}:{number}: {what}: {line.strip()[:80]}"


@pytest.fixture(scope="module")
def role_docs() -> ModuleType:
    """scripts/role-docs as a module."""
    loader = SourceFileLoader("role_docs", str(ROOT / "scripts/role-docs"))
    spec = importlib.util.spec_from_loader("role_docs", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What scripts/role-docs reads and writes, to be spoilt."""
    for name in ("roles", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("site.yml", "deploy/shared_variables.yml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def test_generated_pages_are_what_the_roles_files_say(role_docs: ModuleType) -> None:
    assert role_docs.main(["--check"], tree()) == 0


def test_a_page_that_has_grown_stale_is_named_and_mended(role_docs: ModuleType, copy: Path) -> None:
    """The control of the test above."""
    specs = copy / "roles/redis/meta/argument_specs.yml"
    specs.write_text(specs.read_text().replace("Redis as a cache", "Redis as something else"))
    with pytest.raises(UnchangedError) as stale:
        role_docs.main(["--check"], Tree(copy))
    assert stale.value.where == "roles/redis/README.md, docs/roles.md"
    assert stale.value.mend == "scripts/role-docs"
    assert role_docs.main([], Tree(copy)) == 0
    assert role_docs.main(["--check"], Tree(copy)) == 0


def test_links_between_pages_lead_somewhere() -> None:
    pages = written()
    assert "README.md" in pages
    broken = [
        f"{name}: {target}"
        for name, text in pages.items()
        for target in LINK.findall(text)
        if ":" not in target and not (ROOT / name).parent.joinpath(target).exists()
    ]
    assert broken == []


def test_folder_map_names_what_exists() -> None:
    section = written()["README.md"].partition("## Where things are")[2].partition("\n## ")[0]
    paths = re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_exit_codes_are_those_of_the_code() -> None:
    section = written()["README.md"].partition("## Exit codes")[2].partition("\n## ")[0]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)] == sorted(Exit)


def test_commands_that_the_pages_name_exist() -> None:
    tasks = set(namespace.task_names)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [(page, tool, word) for page, text in written().items()
             for tool, word in re.findall(r"(?:^|[`/(\s])(fab|make) ([a-z][\w.-]*)", code(text))]
    assert {tool for _, tool, _ in named} == {"fab", "make"}
    assert [each for each in named if each[2] not in (tasks if each[1] == "fab" else targets)] == []


def code(text: str) -> str:
    """The code in a Markdown page: `words`, fenced and indented blocks, a line each."""
    text = re.sub(r"^```mermaid$.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```\w*$(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    indented = [line.partition("#")[0] for line in text.splitlines() if line.startswith("    ")]
    return "\n".join([*re.findall(r"`([^`\n]+)`", text), *blocks, *indented])


def test_continuous_integration_calls_what_a_person_calls_and_nothing_else() -> None:
    steps = [step for job in workflow(CI)["jobs"].values() for step in job["steps"]]
    called = [step["run"] for step in steps if "run" in step]
    assert {command.removeprefix("sudo ") for command in called} == {"make check", "make test"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_its_actions_and_may_only_read(path: Path) -> None:
    text, found = path.read_text(), workflow(path)
    used = re.findall(r"uses: (.*)$", text, re.MULTILINE)
    assert used
    pinned = re.compile(r"actions/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert [use for use in used if not pinned.fullmatch(use)] == []
    assert found["permissions"] == {"contents": "read"}
    jobs = found["jobs"].items()
    assert [name for name, job in jobs if "permissions" in job or "timeout-minutes" not in job] == []


def workflow(path: Path) -> dict[str, Any]:
    """A workflow as plain data."""
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def test_hooks_before_a_commit_are_the_lint_of_make_check() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert {repository["repo"] for repository in config["repos"]} == {"local"}
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    entries = [(tuple(shlex.split(hook["entry"])), hook) for hook in hooks]
    lists = {entry: hook["files"] for entry, hook in entries if "require_serial" in hook}
    whole = {entry for entry, hook in entries if hook.get("pass_filenames") is False}
    assert len(lists) + len(whole) == len(hooks)
    for command in run.lint():
        words = tuple(word.replace(f"{run.TOOLS}/", ".venv/bin/") for word in command)
        if words in whole:
            whole.remove(words)
            continue
        entry = next((entry for entry in lists if words[: len(entry)] == entry), None)
        assert entry is not None, f"no hook calls {shlex.join(words)}"
        matching = {name for name in tracked() if re.search(lists[entry], name)}
        assert matching == set(words[len(entry) :]), f"`files` of the hook {shlex.join(entry)}"
        del lists[entry]
    assert (whole, lists) == (set(), {}), "hooks that make check does not call"


def test_no_file_says_what_is_true_on_one_machine_alone() -> None:
    texts = {name: (ROOT / name).read_text(encoding="utf-8", errors="replace") for name in tracked()}
    assert [finding for name, text in texts.items() for finding in findings(name, text)] == []


@pytest.mark.parametrize(
    "line",
    ["# TO" + "DO: later", "FIX" + "ME", "see /wor" + "k/main", "/Users" + "/me/x",
     "https://py" + "pi.org/simple", "uv pip --index" + "-url x"],
)  # fmt: skip
def test_such_a_line_would_be_found(line: str) -> None:
    """The control of the test above."""
    assert list(findings("page", line)) != []
