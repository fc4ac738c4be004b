"""One renderer for both engines: the bytes that Ansible would make, of names that are looked up as they are met."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.errors import NoValueError, UsageError
from deploy.rendering import Renderer, value
from deploy.specs import Tree, tree


class Fixed:
    """A view of one host with these variables."""

    def __init__(self, **variables: object) -> None:
        self.variables = variables
        self.groups = {"all": ["one", "two"], "web": ["one"]}
        self.tree: Tree = tree()

    def value(self, host: str, name: str) -> object:
        if name not in self.variables:
            raise NoValueError(f"{name} has no value for host '{host}'")
        return self.variables[name]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "templates/etc").mkdir(parents=True)
    return tmp_path


def render(root: Path, text: str, **variables: object) -> str:
    (root / "templates/etc/file.j2").write_text(text)
    return Renderer(Fixed(**variables), "one", root=root).template("etc/file.j2")


@pytest.mark.parametrize(("text", "made"), [
    ("a\n", "a\n"),
    ("a", "a"),
    ("{% if true %}\na\n{% endif %}\n", "a\n"),
    ("{{ port }}\n\n", "22\n\n"),
    ("{{ port -}}\n", "22\n"),
])  # fmt: skip
def test_lines_end_as_ansible_has_them(root: Path, text: str, made: str) -> None:
    assert render(root, text, port=22) == made


def test_an_included_file_ends_without_its_last_line_s_end(root: Path) -> None:
    (root / "templates/etc/part.j2").write_text("part {{ port }}\n")
    assert render(root, "{% include 'etc/part.j2' %}\n\nafter\n", port=22) == "part 22\nafter\n"


def test_what_is_derived_is_a_name_like_any_other(root: Path) -> None:
    assert render(root, "{{ group_names | join(' ') }} {{ inventory_hostname }}\n") == "web one\n"
    assert value(Fixed(base_ssh_sources=["10.0.0.0/8", "0.0.0.0/0"]), "one", "base_trusted_networks") == ["10.0.0.0/8"]


def test_a_name_that_nothing_knows_is_told_with_the_template_and_the_host(root: Path) -> None:
    with pytest.raises(UsageError, match="'nowhere' is undefined, for host 'one'") as caught:
        render(root, "{{ nowhere }}\n")
    assert caught.value.where == "templates/etc/file.j2"


def test_a_name_without_a_value_may_be_asked_for(root: Path) -> None:
    assert render(root, "{{ nowhere is defined }}\n") == "False\n"


def test_a_template_that_is_no_jinja_is_told_with_its_line(root: Path) -> None:
    with pytest.raises(UsageError) as caught:
        render(root, "fine\n{% if %}\n")
    assert caught.value.where == "templates/etc/file.j2:2"


def test_a_missing_template_is_told(root: Path) -> None:
    with pytest.raises(UsageError, match="there is no template"):
        Renderer(Fixed(), "one", root=root).template("etc/nowhere.j2")


def test_expressions_and_short_texts_know_the_same_names(root: Path) -> None:
    here = Renderer(Fixed(port=22), "one", {"extra": "more"}, root)
    assert here.expression("port == 22 and extra == 'more'") is True
    assert here.text("/srv/{{ item.name }}\n", item={"name": "a"}) == "/srv/a\n"
    assert here.text("no expression") == "no expression"
    with pytest.raises(UsageError, match="'nowhere' is undefined"):
        here.expression("nowhere.name")
