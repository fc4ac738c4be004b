"""Renewing secrets: what is written when, what hosts are told meanwhile, and that a run may end anywhere."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib

from deploy import renewal, rotate, secrets, sshkey
from deploy.errors import PreflightError, UsageError
from deploy.inventory_files import read
from deploy.rotate import Job
from deploy.specs import ROOT, tree
from deploy.yaml_lines import Encrypted

ENV = "test"
KINDS = ["database", "cache", "broker", "django", "jwt"]
PASSWORDS = {"database": "postgresql_password", "cache": "redis_password", "broker": "rabbitmq_password"}
SIGNED = {"django": "booking_app_secret_key", "jwt": "booking_app_jwt_key"}
NAMES = PASSWORDS | SIGNED


class KilledError(Exception):
    """The command was killed here."""


@dataclass
class Hands:
    """Hosts that note what they were told to accept, by the inventory as it stood then."""

    root: Path
    told: list[str] = field(default_factory=list)
    seen: list[dict[str, object]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    dies_at: int = -1
    accepts: dict[str, set[object]] = field(default_factory=dict)
    knows: dict[str, object] = field(default_factory=dict)  # what running processes use
    refused: list[str] = field(default_factory=list)

    def _act(self, what: str) -> None:
        if len(self.told) == self.dies_at:
            self.dies_at = -1
            raise KilledError
        self.told.append(what)

    def converge(self, tags: Sequence[str], overrides: Mapping[str, object]) -> None:
        self._act(f"converge {','.join(tags)}")
        now = values(self.root) | dict(overrides)
        self.seen.append(now)
        for kind, name in PASSWORDS.items():
            self.accepts[kind] = {now[n] for n in (name, f"{name}_next", f"{name}_previous") if now.get(n)}
            if kind in self.knows and self.knows[kind] not in self.accepts[kind]:
                self.refused.append(f"{kind} while converging")
        listed = str(now["base_ops_authorized_keys"]) + str(now.get(sshkey.VARIABLE, ""))
        if sshkey.public(self.root / "key").split()[1] not in listed:
            self.refused.append("ssh")

    def restart(self) -> None:
        self._act("restart")
        now = self.seen[-1] | values(self.root)
        for kind, name in PASSWORDS.items():
            if now[name] not in self.accepts[kind]:
                self.refused.append(f"{kind} after a restart")
            self.knows[kind] = now[name]
        for kind, name in SIGNED.items():
            checks = {now.get(n) for n in (name, f"{name}_next", f"{name}_previous") if now.get(n)}
            before = self.knows.get(f"{kind} checks")
            # host by host: old and new processes serve side by side, and each checks what the other signs
            if isinstance(before, set) and (now.get(name) not in before or self.knows[kind] not in checks):
                self.refused.append(f"{kind} between two hosts")
            self.knows[kind], self.knows[f"{kind} checks"] = now.get(name), checks

    def prove(self, key: Path) -> None:
        self._act("prove")
        assert key.exists()

    def say(self, line: str) -> None:
        self.lines.append(line)


def values(root: Path) -> dict[str, object]:
    """What the environment's files set, encrypted values as they are written."""
    inventory, problems = read(root / "inventories" / ENV, root, tree(root))
    assert problems == []
    return {s.name: s.value.ciphertext if isinstance(s.value, Encrypted) else s.value for s in inventory.settings}


def keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", str(path)], check=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in ("roles", "deploy"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(ROOT / "site.yml", root)
    shutil.copytree(ROOT / "inventories/solo", root / "inventories" / ENV, symlinks=False)
    keygen(root / "key")
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    shutil.copytree(template, root)
    folder = root / "inventories" / ENV / "group_vars/all"
    public = (root / "key.pub").read_text().strip()
    own = yaml.safe_load((folder / "10-environment.yml").read_text())
    own |= {"base_ops_authorized_keys": [public], "base_deploy_authorized_keys": [public]}
    (folder / "10-environment.yml").write_text(yaml.safe_dump(own | {sshkey.KEY: "key"}))
    return root


@pytest.fixture
def vault(root: Path) -> VaultLib:
    file = root / "password"
    file.write_text("open sesame\n")
    return secrets.vault_from(str(file))


@pytest.fixture
def job(root: Path, vault: VaultLib) -> Callable[..., Job]:
    secrets.init(ENV, lambda: vault, root)
    file = root / "inventories" / ENV / secrets.FILE
    file.write_text(file.read_text().replace("rabbitmq_password:", "# about the broker\nrabbitmq_password:"))
    return lambda hands, only="": Job(ENV, only, hands, lambda: vault, root)


def plain(root: Path, vault: VaultLib, name: str) -> str:
    return vault.decrypt(str(values(root)[name])).decode()


def test_everything_is_renewed_and_nothing_is_refused_on_the_way(
    root: Path, job: Callable[..., Job], vault: VaultLib
) -> None:
    before, key = values(root), sshkey.public(root / "key")
    hands = Hands(root)
    hands.converge(["all"], {})
    hands.restart()
    job(hands).rotate()
    between = values(root)
    for name in NAMES.values():
        assert between[f"{name}_previous"] == before[name], "no value was touched, not even encrypted anew"
        assert between[name] != before[name]
        assert plain(root, vault, name) != plain(root, vault, f"{name}_previous")
    assert (between["postgresql_generation"], between["rabbitmq_generation"]) == (1, 1)
    assert sshkey.public(root / "key") != key == sshkey.public(root / "key.previous")
    assert between[sshkey.VARIABLE] == [key]
    assert sorted(job(hands).forget()) == sorted([*KINDS, "ssh"])
    after = values(root)
    assert {name: after[name] for name in NAMES.values()} == {name: between[name] for name in NAMES.values()}
    assert not [name for name in after if name.endswith(("_next", "_previous")) or name == sshkey.VARIABLE]
    assert not list(root.glob("key.*[!b]"))
    assert hands.refused == []
    text = (root / "inventories" / ENV / secrets.FILE).read_text()
    assert "# about the broker\nrabbitmq_password: !vault |\n" in text.replace("rabbitmq_password_previous", "")
    for name in NAMES.values():
        assert plain(root, vault, name) not in " ".join([*hands.lines, *hands.told])


@pytest.mark.parametrize("instant", range(7))
def test_a_run_that_is_killed_anywhere_is_finished_by_the_next(
    root: Path, job: Callable[..., Job], instant: int
) -> None:
    before = values(root)
    hands = Hands(root)
    hands.converge(["all"], {})
    hands.restart()
    hands.dies_at = 2 + instant
    for act in (lambda: job(hands).rotate(), lambda: job(hands).forget()):
        try:
            act()
        except KilledError:
            act()
    after = values(root)
    assert all(after[name] != before[name] for name in NAMES.values())
    assert not [name for name in after if name.endswith(("_next", "_previous")) or name == sshkey.VARIABLE]
    assert (after["postgresql_generation"], after["rabbitmq_generation"]) == (1, 1), "each was renewed once"
    assert hands.refused == []
    assert hands.dies_at == -1, "it was killed"


def test_control_without_the_announcement_hosts_refuse_one_another(
    root: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = Hands(root)
    hands.converge(["all"], {})
    hands.restart()
    file = root / "inventories" / ENV / secrets.FILE
    fresh = file.read_text()
    for each in renewal.find(secrets.inventory_of(root / "inventories" / ENV, root), root):
        fresh = renewal.forget(renewal.switch(renewal.announce(fresh, each, lambda: '"x"\n', str), each), each)
    file.write_text(fresh)
    hands.converge(["all"], {})
    hands.restart()
    assert {line.split()[0] for line in hands.refused} == set(KINDS)


def test_only_one_kind_is_renewed_and_only_its_roles_are_converged(root: Path, job: Callable[..., Job]) -> None:
    before, hands = values(root), Hands(root)
    job(hands, "cache").rotate()
    assert hands.told == ["converge redis,booking_app", "converge redis,booking_app", "restart"]
    changed = {name for name, value in values(root).items() if before.get(name) != value}
    assert changed == {"redis_password", "redis_password_previous"}
    assert job(hands, "cache").forget() == ["cache"]
    assert job(hands, "cache").forget() == []


def test_signing_keys_are_announced_to_every_process_before_one_signs_with_them(
    root: Path, job: Callable[..., Job]
) -> None:
    hands = Hands(root)
    job(hands, "jwt").rotate()
    assert hands.told == ["converge booking_app", "restart", "converge booking_app", "restart"]
    job(hands, "jwt").forget()
    assert hands.told[4:] == ["converge booking_app", "restart"]


def test_the_ssh_key_is_changed_only_after_every_host_has_taken_it(root: Path, job: Callable[..., Job]) -> None:
    class Locked(Hands):
        def prove(self, key: Path) -> None:
            raise PreflightError("the new key does not log in")

    old = sshkey.public(root / "key")
    with pytest.raises(PreflightError):
        job(Locked(root), "ssh").rotate()
    assert sshkey.public(root / "key") == old
    hands = Hands(root)
    job(hands, "ssh").rotate()
    assert hands.told == ["converge base", "prove", "converge base"]
    assert sshkey.public(root / "key") != old


@pytest.mark.parametrize("call", range(1, 9))
def test_the_ssh_key_may_be_left_half_changed(
    root: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    """Killed between two files: after each write and each move of the switch."""
    hands, calls = Hands(root), 0
    real_write, real_copy = secrets.write_whole, shutil.copy2

    def dying(act: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == call:
                raise KilledError
            return act(*arguments)

        return wrapped

    monkeypatch.setattr(secrets, "write_whole", dying(real_write))
    monkeypatch.setattr(shutil, "copy2", dying(real_copy))
    for act in (lambda: job(hands, "ssh").rotate(), lambda: job(hands, "ssh").forget()):
        try:
            act()
        except KilledError:
            act()
    assert hands.refused == []
    assert sshkey.VARIABLE not in values(root)
    public = sshkey.public(root / "key")
    assert public in str(values(root)["base_ops_authorized_keys"])
    assert public in str(values(root)["base_deploy_authorized_keys"])


def test_forgetting_what_is_only_announced_is_refused(root: Path, job: Callable[..., Job]) -> None:
    hands = Hands(root, dies_at=0)
    with pytest.raises(KilledError):
        job(hands, "cache").rotate()
    with pytest.raises(UsageError, match="not done yet"):
        job(Hands(root), "cache").forget()


def test_an_environment_that_was_made_before_there_was_a_key_of_tokens_gets_one_by_its_first_rotation(
    root: Path, job: Callable[..., Job], vault: VaultLib
) -> None:
    file = root / "inventories" / ENV / secrets.FILE
    inventory = secrets.inventory_of(root / "inventories" / ENV, root)
    each = next(one for one in renewal.find(inventory, root) if one.kind == "jwt")
    text = renewal.yaml_text.remove(file.read_text(), each.secret.name)
    file.write_text(text)
    assert secrets.init(ENV, lambda: vault, root) == [], "the one of sessions serves"
    sessions = plain(root, vault, "booking_app_secret_key")
    job(Hands(root), "jwt").rotate()
    assert plain(root, vault, "booking_app_jwt_key_previous") == sessions
    assert plain(root, vault, "booking_app_jwt_key") != sessions


def test_a_kind_that_is_not_there_is_named_with_those_that_are(root: Path, job: Callable[..., Job]) -> None:
    with pytest.raises(UsageError, match=r"database.*ssh"):
        job(Hands(root), "databse").rotate()


def test_overrides_hold_no_secret(root: Path, job: Callable[..., Job]) -> None:
    hands = Hands(root)
    job(hands).rotate()
    job(hands).forget()
    assert rotate.overridden({}) == []
    assert rotate.overridden({"a_previous": ""}) == ["--extra-vars", '{"a_previous": ""}']


def test_a_new_vault_password_opens_every_value_and_the_old_one_none(
    root: Path, job: Callable[..., Job], vault: VaultLib, tmp_path: Path
) -> None:
    (tmp_path / "new").write_text("another\n")
    new = secrets.vault_from(str(tmp_path / "new"))
    before = {name: plain(root, vault, name) for name in NAMES.values()}
    count = rotate.rekey(ENV, vault, new, root)
    assert count >= len(NAMES)
    assert {name: plain(root, new, name) for name in NAMES.values()} == before
    assert rotate.rekey(ENV, vault, new, root) == 0, "again, it changes nothing"
    with pytest.raises(UsageError, match="neither password"):
        rotate.rekey(ENV, vault, vault, root)
