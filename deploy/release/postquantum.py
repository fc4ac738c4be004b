"""The key exchange mlkem768x25519-sha256 for paramiko, which has none that outlasts a quantum computer.

Hosts offer only such exchanges (docs/decisions/0025-post-quantum-ssh.md). The client's half, as
draft-ietf-sshm-mlkem-hybrid-kex describes it and OpenSSH 9.9 and newer serve it. Other servers are met as paramiko
would.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

import paramiko
from cryptography.exceptions import InternalError
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from paramiko.message import Message

NAME = "mlkem768x25519-sha256"
INIT, REPLY = 30, 31  # SSH_MSG_KEX_HYBRID_INIT and _REPLY, the numbers of every exchange of RFC 5656
CIPHERTEXT_BYTES = 1088  # of ML-KEM-768 (FIPS 203, table 3)
X25519_BYTES = 32
_THEIRS: Any = paramiko.Transport  # of what it is made of, its types say nothing


class HybridExchange:
    """One exchange, in the shape of paramiko's own."""

    hash_algo = staticmethod(hashlib.sha256)

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.lattice = MLKEM768PrivateKey.generate()
        self.curve = X25519PrivateKey.generate()
        self.sent = self.lattice.public_key().public_bytes_raw() + self.curve.public_key().public_bytes_raw()

    def start_kex(self) -> None:
        """Send both public keys."""
        message = Message()
        message.add_byte(bytes([INIT]))
        message.add_string(self.sent)
        self.transport._send_message(message)
        self.transport._expect_packet(REPLY)

    def parse_next(self, kind: int, message: Message) -> None:
        """Take the server's answer. SSHException: it is not one, or its host key did not sign it."""
        if kind != REPLY:
            raise paramiko.SSHException(f"{NAME}: packet {kind} was not expected")
        host_key, answer, signature = message.get_string(), message.get_string(), message.get_binary()
        secret = self.secret(answer)
        transport, hashed = self.transport, Message()
        hashed.add(
            transport.local_version, transport.remote_version, transport.local_kex_init, transport.remote_kex_init
        )
        for part in (host_key, self.sent, answer, secret):
            hashed.add_string(part)
        transport._set_K_H(secret, self.hash_algo(hashed.asbytes()).digest())
        transport._verify_key(host_key, signature)
        transport.outlasts = True
        transport._activate_outbound()

    def secret(self, answer: bytes) -> bytes:
        """The shared secret of both halves (32 bytes): SHA-256 over the lattice's, then the curve's."""
        if len(answer) != CIPHERTEXT_BYTES + X25519_BYTES:
            raise paramiko.SSHException(f"{NAME}: an answer of {len(answer)} bytes")
        try:
            lattice = self.lattice.decapsulate(answer[:CIPHERTEXT_BYTES])
            curve = self.curve.exchange(X25519PublicKey.from_public_bytes(answer[CIPHERTEXT_BYTES:]))
        except (ValueError, InternalError) as error:  # a point of low order, or no ciphertext at all
            raise paramiko.SSHException(f"{NAME}: the server's keys are not sound: {error}") from None
        return bytes(self.hash_algo(lattice + curve).digest())


class Transport(paramiko.Transport):
    """paramiko's transport, which prefers the hybrid exchange: `SSHClient.connect(…, transport_factory=Transport)`.

    outlasts: whether the keys in use were agreed on by it.
    """

    outlasts = False

    _preferred_kex = (NAME, *_THEIRS._preferred_kex)
    _kex_info: ClassVar[dict[str, Any]] = {**_THEIRS._kex_info, NAME: HybridExchange}
    # those with authentication first, as the hosts offer no others
    _preferred_ciphers = (
        "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", *_THEIRS._preferred_ciphers[:3],
    )  # fmt: skip

    def _compute_key(self, id: str, nbytes: int) -> bytes:  # noqa: A002 - paramiko's own name
        """A key of RFC 4253, 7.2. This exchange's secret goes in as a string and not as a number: without the zero
        byte before a high first bit."""
        if not isinstance(self.K, bytes):
            return bytes(_THEIRS._compute_key(self, id, nbytes))
        shared = Message()
        shared.add_string(self.K)
        shared.add_bytes(self.H)
        begin, out = shared.asbytes(), b""
        while len(out) < nbytes:
            more = out or id.encode() + self.session_id
            out += hashlib.sha256(begin + more).digest()
        return out[:nbytes]
