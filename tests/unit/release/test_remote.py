"""Hosts that cannot be used, and what their answers mean; where the engine's settings come from."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import paramiko
import pytest

from deploy.errors import NexusError
from deploy.inventory import Host
from deploy.release import settings
from deploy.release.remote import FencedError, HostError, Remote, UnreachableError
from deploy.release.settings import Target

from .fleet import SETTINGS

REMOTE = Remote(Target("web1", "192.0.2.1", 2222, ""), SETTINGS)


@pytest.mark.parametrize(
    ("error", "what", "mend"),
    [
        (paramiko.AuthenticationException("no"), "refuses the account deploy: never converged", "site.yml"),
        (paramiko.SSHException("Server '[192.0.2.1]:2222' not found in known_hosts"), "unknown", "ssh-keyscan -p 2222"),
        (paramiko.BadHostKeyException("web1", paramiko.PKey(), paramiko.PKey()), "not the one in", "ssh-keygen -f"),
        (
            ConnectionRefusedError(111, "Connection refused"),
            "192.0.2.1 port 2222: Connection refused",
            "start the host",
        ),
        (TimeoutError("timed out"), "no connection to 192.0.2.1 port 2222: timed out", "ansible_host"),
        (FileNotFoundError(2, "No such file", "/k"), "the file /k is missing", "inventory"),
    ],
)
def test_every_reason_that_a_host_cannot_be_reached_is_told_with_what_mends_it(
    error: Exception, what: str, mend: str
) -> None:
    said, advice = REMOTE._why(error)
    assert what in said
    assert mend in advice


def test_a_host_that_is_not_there_is_unreachable_and_not_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnreachableError) as caught:
        Remote(Target("web1", "127.0.0.1", port, ""), SETTINGS).connect()
    assert f"127.0.0.1 port {port}" in caught.value.what


@pytest.mark.parametrize(
    "stderr", ["sudo: /usr/local/sbin/booking-release: command not found", "sudo: a password is required"]
)
def test_a_host_without_the_helper_was_never_converged(stderr: str) -> None:
    with pytest.raises(UnreachableError) as caught:
        REMOTE._answer(1, "", stderr)
    assert "never converged" in caught.value.what
    assert caught.value.mend == "ansible-playbook -i inventories/test site.yml"


def test_a_helper_that_is_older_than_the_engine_is_converged() -> None:
    said = {"what": "argument ACT: invalid choice: 'session' (choose from status)", "unit": "", "journal": []}
    with pytest.raises(UnreachableError, match="older than this engine") as caught:
        REMOTE._answer(2, json.dumps({"error": said}), "")
    assert caught.value.mend == "ansible-playbook -i inventories/test site.yml"


def test_a_failure_keeps_the_unit_and_its_journal() -> None:
    with pytest.raises(HostError) as caught:
        REMOTE._answer(1, '{"error": {"what": "dead", "unit": "u", "journal": ["a", "b"]}}', "")
    assert (caught.value.what, caught.value.unit, caught.value.journal) == ("dead", "u", ("a", "b"))


def test_a_refused_token_is_told_apart_from_a_failure() -> None:
    with pytest.raises(FencedError):
        REMOTE._answer(13, '{"error": {"what": "it belongs to another", "unit": "", "journal": []}}', "")
    with pytest.raises(HostError) as caught:
        REMOTE._answer(1, '{"error": {"what": "dead", "unit": "", "journal": []}}', "")
    assert not isinstance(caught.value, FencedError)


def test_an_answer_that_is_none_shows_what_came_instead() -> None:
    with pytest.raises(HostError) as caught:
        REMOTE._answer(137, "", "Killed")
    assert "ended with 137: Killed" in caught.value.what


def test_the_default_environment_is_the_one_of_ansible_cfg(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninventory = inventories/somewhere\n")
    assert settings.default_environment(tmp_path) == "somewhere"


@pytest.mark.parametrize("text", ["", "[defaults]\n", "[defaults]\ninventory = /etc/ansible/hosts\n"])
def test_without_a_default_an_environment_has_to_be_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "ansible.cfg").write_text(text)
    with pytest.raises(NexusError) as caught:
        settings.default_environment(tmp_path)
    assert "--env NAME" in caught.value.mend


def test_ssh_options_come_from_the_inventory(tmp_path: Path) -> None:
    host = Host("web1", "192.0.2.1", ("10.0.0.1",), {"ansible_port": 2222, "ansible_ssh_private_key_file": "keys/id"})
    assert settings.target(host, tmp_path) == Target("web1", "192.0.2.1", 2222, f"{tmp_path}/keys/id")
    assert settings.target(Host("web1", "web1", ("web1",), {}), tmp_path) == Target("web1", "web1", 22, "")
