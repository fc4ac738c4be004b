"""What `outside` serves by TLS: one certificate for all its names, drawn again when it gets another."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from lab import outside, state
from lab.errors import LabError
from lab.inventory import ACME_HOST, CHAPA_HOST, MAIL_HOST, acme_roots
from lab.state import Lab
from lab.summary import offers


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setattr(state, "LABS", tmp_path)
    return Lab("lab-one", str(tmp_path / "clone"), "small", 3, "0123", "abcd", 8443)


def test_certificate_is_for_every_name_that_hosts_use(lab: Lab) -> None:
    outside.authority(lab)
    found = outside.names(lab.directory / "outside/server.pem")
    assert sorted(found) == sorted([ACME_HOST, CHAPA_HOST, MAIL_HOST])


def test_it_is_signed_by_the_authority_and_goes_with_its_key(lab: Lab) -> None:
    authority = x509.load_pem_x509_certificate(outside.authority(lab).encode())
    folder = lab.directory / "outside"
    server = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    server.verify_directly_issued_by(authority)
    assert isinstance(server.public_key(), ec.EllipticCurvePublicKey)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(folder / "server.pem", folder / "server.key")


def test_it_is_drawn_once(lab: Lab) -> None:
    assert outside.authority(lab) == outside.authority(lab)


def test_sandbox_that_is_up_gets_another_when_there_is_another_name(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(outside, "NAMES", (ACME_HOST,))
        before = outside.authority(lab)
    assert outside.authority(lab) != before
    assert MAIL_HOST in outside.names(lab.directory / "outside/server.pem")


def test_drawing_that_was_broken_off_is_done_again(lab: Lab) -> None:
    outside.authority(lab)
    (lab.directory / "outside/server.pem").unlink()
    x509.load_pem_x509_certificate(outside.authority(lab).encode())
    assert outside.names(lab.directory / "outside/server.pem")


@pytest.fixture
def account(lab: Lab) -> Path:
    """What the balancer keeps of the ACME authority."""
    folder = lab.host_root(lab.topology.group("loadbalancers")[0]) / "etc/letsencrypt"
    for part in ("accounts", "renewal", "live", "archive"):
        (folder / part / "acme.test").mkdir(parents=True)
    (folder / "cli.ini").touch()
    return folder


def roots_are(monkeypatch: pytest.MonkeyPatch, root: str, code: int = 0) -> None:
    done = subprocess.CompletedProcess([], code, root, "it does not answer")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)


def test_authority_that_has_forgotten_its_accounts_is_met_anew(
    lab: Lab, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots_are(monkeypatch, "new\n")
    assert outside.fetch_roots(lab).read_text() == "new\n"
    assert [path.name for path in account.iterdir()] == ["cli.ini"]


def test_authority_that_knows_its_accounts_is_left_alone(
    lab: Lab, account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme_roots(lab).write_text("old\nnew\n")
    roots_are(monkeypatch, "new\n")
    assert outside.fetch_roots(lab).read_text() == "old\nnew\n"
    assert (account / "accounts/acme.test").is_dir()


def test_authority_that_does_not_answer_is_told(lab: Lab, account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots_are(monkeypatch, "", 7)
    with pytest.raises(LabError, match="it does not answer"):
        outside.fetch_roots(lab)
    assert (account / "accounts/acme.test").is_dir()


def test_status_says_where_each_is(lab: Lab) -> None:
    assert offers(lab) == (
        "DNS 10.89.3.53, ACME https://acme.test:14000/dir, payments https://chapa.test:8443/v1, mail mail.test:587"
    )


@pytest.mark.parametrize("name", ["mail", "payments"])
def test_every_module_is_shipped(name: str) -> None:
    """The playbook takes what is in the folder itself."""
    folder = outside.PLAYBOOK.parent / name
    assert f"'{name}/*.py'" in outside.PLAYBOOK.read_text()
    assert {path.parent for path in folder.rglob("*.py")} == {folder}
