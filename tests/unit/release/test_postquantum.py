"""The hybrid key exchange: both ends agree, whatever the first bit of the secret; what is not sound is refused."""

from __future__ import annotations

import hashlib
import socket
import threading
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from paramiko.message import Message

from deploy.release import postquantum
from deploy.release.postquantum import INIT, NAME, REPLY


class Served:
    """The server's half, written from the draft and not from the client's."""

    hash_algo = staticmethod(hashlib.sha256)
    spoil = staticmethod(lambda answer: answer)

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def start_kex(self) -> None:
        self.transport._expect_packet(INIT)

    def parse_next(self, kind: int, message: Message) -> None:
        sent = message.get_string()
        assert len(sent) == 1184 + 32
        lattice, ciphertext = MLKEM768PublicKey.from_public_bytes(sent[:1184]).encapsulate()
        own = X25519PrivateKey.generate()
        curve = own.exchange(X25519PublicKey.from_public_bytes(sent[1184:]))
        secret = hashlib.sha256(lattice + curve).digest()
        answer = self.spoil(ciphertext + own.public_key().public_bytes_raw())
        key, transport, hashed = self.transport.get_server_key(), self.transport, Message()
        hashed.add(
            transport.remote_version, transport.local_version, transport.remote_kex_init, transport.local_kex_init
        )
        for part in (key.asbytes(), sent, answer, secret):
            hashed.add_string(part)
        digest = hashlib.sha256(hashed.asbytes()).digest()
        transport._set_K_H(secret, digest)
        reply = Message()
        reply.add_byte(bytes([REPLY]))
        for part in (key.asbytes(), answer, key.sign_ssh_data(digest, transport.host_key_type)):
            reply.add_string(part)
        transport._send_message(reply)
        transport._activate_outbound()


class Anyone(paramiko.ServerInterface):
    """Lets everybody in."""

    def check_auth_none(self, username: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "none"


def meet(served: type[Served]) -> tuple[postquantum.Transport, paramiko.Transport]:
    """A client and a server that offers this exchange alone."""
    one, other = socket.socketpair()
    kind = type("Server", (postquantum.Transport,), {"_kex_info": {NAME: served}, "_preferred_kex": (NAME,)})
    server = kind(other)
    server.add_server_key(paramiko.ECDSAKey.generate())
    server.start_server(event=threading.Event(), server=Anyone())
    client = postquantum.Transport(one)
    try:
        client.start_client(timeout=10)
    except BaseException:
        client.close()
        server.close()
        raise
    return client, server


def test_both_ends_agree_also_where_the_secret_begins_with_a_high_bit_or_zeros() -> None:
    """As a number the secret would have another length in half of all cases, so that some of these would fail."""
    for _ in range(12):
        client, server = meet(Served)
        try:
            assert client.outlasts
            client.auth_none("deploy")
            assert client.is_authenticated()
            assert client.remote_cipher == "aes256-gcm@openssh.com"
        finally:
            client.close()
            server.close()


@pytest.mark.parametrize(("spoil", "why"), [
    (lambda answer: answer[:-1], "an answer of 1119 bytes"),
    (lambda answer: answer[:1088] + bytes(32), "the server's keys are not sound"),
    (lambda answer: bytes([answer[0] ^ 1]) + answer[1:], "ignature verification .* failed"),
], ids=["too short", "a point of low order", "another ciphertext"])  # fmt: skip
def test_an_answer_that_is_not_sound_ends_the_connection(spoil: Any, why: str) -> None:
    with pytest.raises(paramiko.SSHException, match=why):
        meet(type("Spoilt", (Served,), {"spoil": staticmethod(spoil)}))


def test_a_server_that_has_no_such_exchange_is_met_as_before() -> None:
    assert postquantum.Transport._preferred_kex[0] == NAME
    assert set(paramiko.Transport._preferred_kex) < set(postquantum.Transport._preferred_kex)
