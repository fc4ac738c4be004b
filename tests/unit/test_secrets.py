"""deploy.secrets: what is missing is drawn, encrypted and appended; what is there stays as it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy import secrets
from deploy.errors import UsageError
from deploy.inventory_files import read
from deploy.role_files import Secret
from deploy.yaml_lines import Encrypted
from tests.unit.specimen import SECRETS, Specimen

TOKEN = Secret("postgresql_password", "token")
AUTHORITY = Secret("pki_key", "ca", "pki_certificate")


@pytest.fixture
def specimen(tmp_path: Path) -> Specimen:
    made = Specimen(tmp_path)
    (made.root / SECRETS).unlink()
    return made


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    return path


@pytest.fixture
def draw(specimen: Specimen, password: Path) -> Callable[[], list[str]]:
    """`fab secrets.init` on the specimen, without the command line."""
    return lambda: secrets.init("test", lambda: secrets.vault_from(str(password)), specimen.root)


def _decrypted(specimen: Specimen, password: Path) -> dict[str, str]:
    vault = secrets.vault_from(str(password))
    inventory, problems = read(specimen.root / "inventories/test", specimen.root, specimen.tree)
    assert problems == []
    return {
        s.name: vault.decrypt(s.value.ciphertext).decode() for s in inventory.settings if isinstance(s.value, Encrypted)
    }


def _never() -> VaultLib:
    raise AssertionError("the vault password is not needed")


def test_tokens_are_long_url_safe_and_never_the_same() -> None:
    values = {secrets.draw([TOKEN])["postgresql_password"] for _ in range(20)}
    assert len(values) == 20
    assert all(len(value) == 43 and value.replace("-", "").replace("_", "").isalnum() for value in values)


def test_an_authority_is_a_key_and_a_certificate_that_may_sign_leaves_alone() -> None:
    drawn = secrets.draw([AUTHORITY])
    assert list(drawn) == ["pki_key", "pki_certificate"]
    key = load_pem_private_key(drawn["pki_key"].encode(), password=None)
    certificate = x509.load_pem_x509_certificate(drawn["pki_certificate"].encode())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert key.public_key() == certificate.public_key()
    certificate.verify_directly_issued_by(certificate)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign) == (True, True)
    assert not any((usage.value.digital_signature, usage.value.key_agreement))
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    assert 3649 <= left.days <= 3652
    assert certificate.not_valid_before_utc < datetime.now(UTC)


def test_a_dump_without_a_vault_is_yaml_of_the_same_values() -> None:
    values = {**secrets.draw([TOKEN, AUTHORITY]), "odd": "yes: #'\"\\"}
    assert yaml.safe_load(secrets.dump(values, None)) == values


def test_every_missing_secret_is_drawn_and_encrypted_and_the_environment_is_sound(
    specimen: Specimen, draw: Callable[[], list[str]], password: Path
) -> None:
    assert any("not drawn yet" in problem for problem in specimen.problems())
    assert draw() == ["pki_key", "pki_certificate", "postgresql_password"]
    assert specimen.problems() == []
    file = specimen.root / SECRETS
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().count("!vault |") == 3
    found = _decrypted(specimen, password)
    assert found["pki_key"].startswith("-----BEGIN PRIVATE KEY-----\n")
    assert found["pki_key"] not in file.read_text()
    assert list(file.parent.glob(".*")) == [], "no half-written file is left"


def test_a_second_run_draws_nothing_and_asks_for_no_password(specimen: Specimen, draw: Callable[[], list[str]]) -> None:
    draw()
    before = (specimen.root / SECRETS).read_bytes()
    assert secrets.init("test", _never, specimen.root) == []
    assert (specimen.root / SECRETS).read_bytes() == before


def test_what_is_there_stays_byte_for_byte(specimen: Specimen, draw: Callable[[], list[str]], password: Path) -> None:
    present = "# mine\npostgresql_password: chosen   # no newline follows"
    specimen.write(SECRETS, present)
    assert draw() == ["pki_key", "pki_certificate"]
    assert (specimen.root / SECRETS).read_text().startswith(present + "\npki_key: !vault |\n")
    assert set(_decrypted(specimen, password)) == {"pki_key", "pki_certificate"}


def test_what_somebody_else_gives_is_neither_drawn_nor_missed(
    specimen: Specimen, draw: Callable[[], list[str]], password: Path
) -> None:
    specimen.add("roles/nginx/meta/argument_specs.yml", "      nginx_token: {type: str, description: Secret.}\n")
    specimen.add("roles/nginx/meta/declares.yml", "secrets: [{name: nginx_token, kind: given}]\n")
    assert "nginx_token" not in draw()
    assert specimen.problems() == []
    specimen.add(SECRETS, "nginx_token: 5\n")
    assert any("nginx_token: a string is expected" in problem for problem in specimen.problems())


def test_a_secret_set_in_another_file_is_not_drawn_again(specimen: Specimen, draw: Callable[[], list[str]]) -> None:
    specimen.write("inventories/test/group_vars/database.yml", "postgresql_password: x\n")
    assert draw() == ["pki_key", "pki_certificate"]


def test_another_password_than_that_of_the_secrets_there_is_refused(
    specimen: Specimen, draw: Callable[[], list[str]], password: Path
) -> None:
    draw()
    file = specimen.root / SECRETS
    text = file.read_text()
    file.write_text(text[: text.index("postgresql_password")])
    before = file.read_bytes()
    password.write_text("wrong\n")
    with pytest.raises(UsageError, match="does not open pki_key"):
        draw()
    assert file.read_bytes() == before


def test_a_key_without_its_certificate_is_an_error(specimen: Specimen, draw: Callable[[], list[str]]) -> None:
    specimen.write(SECRETS, "pki_key: a\n")
    with pytest.raises(UsageError, match="pki_key is set, but pki_certificate, which belongs to it, is not"):
        draw()
    assert (specimen.root / SECRETS).read_text() == "pki_key: a\n"


def test_nothing_is_drawn_while_a_file_cannot_be_read(specimen: Specimen, draw: Callable[[], list[str]]) -> None:
    specimen.write(SECRETS, "postgresql_password: 'open\n")
    with pytest.raises(UsageError, match="is to be mended first") as caught:
        draw()
    assert SECRETS in str(caught.value)
    assert (specimen.root / SECRETS).read_text() == "postgresql_password: 'open\n"


def test_a_write_that_fails_leaves_the_file_whole(
    specimen: Specimen, draw: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    specimen.write(SECRETS, "postgresql_password: x\n")

    def full(_descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        draw()
    file = specimen.root / SECRETS
    assert file.read_text() == "postgresql_password: x\n"
    assert list(file.parent.glob(".*")) == []


def test_the_password_comes_from_a_script_too(tmp_path: Path) -> None:
    script = tmp_path / "password.sh"
    script.write_text("#!/bin/sh\necho correct horse\n")
    script.chmod(0o700)
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    text = secrets.vault_from(str(script)).encrypt("s")
    assert secrets.vault_from(str(file)).decrypt(text) == b"s"


@pytest.mark.parametrize("content", [None, ""])
def test_a_password_file_that_is_missing_or_empty_is_an_error(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match="the vault password cannot be read"):
        secrets.vault_from(str(file))


def test_a_prompt_asks_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    answers = iter(["one", "two", "", "same", "same"])
    monkeypatch.setattr(secrets, "getpass", lambda _prompt: next(answers))
    with pytest.raises(UsageError, match="differ"):
        secrets.vault_from("")
    with pytest.raises(UsageError, match="empty"):
        secrets.vault_from("")
    vault = secrets.vault_from("")
    assert vault.decrypt(vault.encrypt("s")) == b"s"


def test_without_a_terminal_the_option_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(UsageError, match="no terminal") as caught:
        secrets.vault_from("")
    assert "--vault-password-file" in caught.value.mend


def test_a_missing_environment_is_an_error(specimen: Specimen) -> None:
    with pytest.raises(UsageError, match="no environment 'tset'"):
        secrets.init("tset", _never, specimen.root)
