"""deploy.inventory_cache: asking Ansible once, and again as soon as anything that it reads has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from deploy import inventory, inventory_cache
from tests.unit.specimen import ENVIRONMENT, HOSTS, Specimen

KEPT = "build/cache/inventory-test.json"


class Asked:
    """Stands for ansible-inventory: each answer is another one, so that an old one is told from a new."""

    def __init__(self, specimen: Specimen) -> None:
        self.specimen, self.times = specimen, 0
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self) -> str:
        self.times += 1
        self.meanwhile()
        return json.dumps({"asked": self.times})

    def listing(self) -> object:
        root = self.specimen.root
        return inventory_cache.cached(root / "inventories/test", root, self)["asked"]


@pytest.fixture
def specimen(tmp_path: Path) -> Specimen:
    found = Specimen(tmp_path)
    found.write("ansible.cfg", "[defaults]\n")
    return found


@pytest.fixture
def asked(specimen: Specimen) -> Asked:
    return Asked(specimen)


def test_an_inventory_that_did_not_change_is_asked_for_once(asked: Asked) -> None:
    assert [asked.listing() for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize(
    "path",
    [HOSTS, ENVIRONMENT, "inventories/common.yml", "ansible.cfg", "inventories/test/host_vars/web1.yml",
     "inventories/test/more.yml", "group_vars/all.yml", "inventories/test/group_vars/web/deep/x.yml"],
)  # fmt: skip
def test_a_changed_new_or_linked_file_changes_the_answer(specimen: Specimen, asked: Asked, path: str) -> None:
    """The control of the test above. inventories/common.yml is read through a link."""
    asked.listing()
    old = (specimen.root / path).read_text() if (specimen.root / path).exists() else ""
    specimen.write(path, old + "# one more line\n")
    assert asked.listing() == 2
    assert asked.listing() == 2


def test_a_removed_or_renamed_file_changes_the_answer(specimen: Specimen, asked: Asked) -> None:
    asked.listing()
    file = (specimen.root / ENVIRONMENT).rename(specimen.root / ENVIRONMENT.replace("10-", "30-"))
    assert asked.listing() == 2
    file.unlink()
    assert asked.listing() == 3


def test_the_same_bytes_in_other_files_are_another_inventory(specimen: Specimen, asked: Asked) -> None:
    specimen.write("inventories/test/host_vars/web1.yml", "a: 1\n")
    asked.listing()
    (specimen.root / "inventories/test/host_vars/web1.yml").rename(
        specimen.root / "inventories/test/host_vars/web2.yml"
    )
    assert asked.listing() == 2


def test_ansibles_variables_and_version_change_the_answer(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    asked.listing()
    monkeypatch.setenv("ANSIBLE_INVENTORY_ENABLED", "yaml")
    assert asked.listing() == 2
    monkeypatch.setenv("NOTHING_TO_DO_WITH_IT", "1")
    assert asked.listing() == 2
    monkeypatch.setattr(metadata, "version", lambda name: "99")
    assert asked.listing() == 3


def test_hidden_files_and_changed_times_do_not(specimen: Specimen, asked: Asked) -> None:
    """An environment may be a git repository of its own."""
    asked.listing()
    specimen.write("inventories/test/.git/index", "anything")
    specimen.write("inventories/test/.git/hooks/plugin.sh", "anything")
    (specimen.root / HOSTS).touch()
    assert asked.listing() == 1


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("inventories/test/aws_ec2.yml", "plugin: amazon.aws.aws_ec2\n"),
        ("inventories/test/aws_ec2.yml", '{"plugin": "constructed"}\n'),
        ("inventories/test/list-hosts", "#!/bin/sh\necho '{}'\n"),
        ("inventories/test/more.ini", "[web]\nweb3\n"),
        ("inventories/test/group_vars/all/99-secret.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
    ],
)
def test_a_plugin_a_script_or_an_encrypted_file_is_asked_for_every_time(
    specimen: Specimen, asked: Asked, path: str, text: str
) -> None:
    specimen.write(path, text)
    assert [asked.listing(), asked.listing()] == [1, 2]
    assert not (specimen.root / KEPT).exists()


def test_an_executable_source_is_asked_for_every_time(specimen: Specimen, asked: Asked) -> None:
    (specimen.root / HOSTS).chmod(0o755)
    assert [asked.listing(), asked.listing()] == [1, 2]


def test_links_that_lead_in_a_circle_are_not_followed_for_ever(specimen: Specimen, asked: Asked) -> None:
    (specimen.root / "inventories/test/group_vars/again").symlink_to("../group_vars")
    assert [asked.listing(), asked.listing()] == [1, 2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"asked": 1', '"asked": 7'),
        lambda text: "0" + text[1:],
        lambda text: text + " ",
        lambda text: "\udcff" + text,
    ],
)
def test_a_damaged_answer_is_made_anew(specimen: Specimen, asked: Asked, damage: Callable[[str], str]) -> None:
    asked.listing()
    kept = specimen.root / KEPT
    kept.write_bytes(damage(kept.read_text()).encode(errors="surrogateescape"))
    assert [asked.listing(), asked.listing()] == [2, 2]


def test_a_file_that_changes_while_ansible_reads_is_not_kept(specimen: Specimen, asked: Asked) -> None:
    asked.meanwhile = lambda: specimen.add(HOSTS, "# written meanwhile\n")
    asked.listing()
    assert not (specimen.root / KEPT).exists()


def test_what_is_kept_is_its_owners_alone(specimen: Specimen, asked: Asked) -> None:
    """A sandbox's inventory holds its secrets in the clear."""
    asked.listing()
    assert (specimen.root / KEPT).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (specimen.root / KEPT).parent.iterdir()] == ["inventory-test.json"]


def test_where_nothing_can_be_kept_it_works_as_before(specimen: Specimen, asked: Asked) -> None:
    specimen.write("build", "a file where the folder should be")
    assert [asked.listing(), asked.listing()] == [1, 2]


def test_a_fleet_follows_its_file_and_is_not_asked_for_in_between(
    specimen: Specimen, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = inventory.load("test", specimen.root)
    with monkeypatch.context() as without_ansible:
        without_ansible.setattr(inventory, "_ask", lambda *arguments: pytest.fail("Ansible was asked again"))
        assert inventory.load("test", specimen.root) == first
    specimen.replace(HOSTS, "192.0.2.2", "192.0.2.99")
    assert inventory.load("test", specimen.root).hosts["web1"].address == "192.0.2.99"
