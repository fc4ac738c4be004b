"""The certificate that this balancer serves: what it is, and how another takes its place without a dropped connection.

Its contents are read by `openssl`, as hosts have no library for it.
"""

import re
import socket
import ssl
import subprocess
import tempfile
from typing import Any

from .state import Config, HelperError, Layout, write_durably

PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----\n[A-Za-z0-9+/=\s]+-----END \1-----\n?")
LONGEST = 256 * 1024
ANSWER_SECONDS = 5


def openssl(*arguments: str, data: str | bytes) -> str:
    """What `openssl` says of data. HelperError: it refuses it."""
    done = subprocess.run(
        ["openssl", *arguments], input=data if isinstance(data, bytes) else data.encode(), capture_output=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise HelperError(f"openssl {arguments[0]}: {done.stderr.decode(errors='replace').strip()[:200]}", code=2)
    return done.stdout.decode()


def describe(certificate: str | bytes) -> dict[str, Any]:
    """{"serial", "not_after" (Unix time), "names" (sorted)} of a certificate (PEM as text, DER as bytes)."""
    form = "DER" if isinstance(certificate, bytes) else "PEM"
    said = openssl(
        "x509", "-inform", form, "-noout", "-serial", "-enddate", "-ext", "subjectAltName", data=certificate
    )
    fields = dict(line.split("=", 1) for line in said.splitlines() if line.startswith(("serial=", "notAfter=")))
    return {
        "serial": fields["serial"],
        "not_after": int(ssl.cert_time_to_seconds(fields["notAfter"])),
        "names": sorted(re.findall(r"DNS:([^,\s]+)", said)),
    }


def served(config: Config) -> dict[str, Any]:
    """What this host's own port serves to who asks for the service. HelperError: it serves nothing."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", config.https_port), timeout=ANSWER_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=config.domain) as secured,
        ):
            found = secured.getpeercert(binary_form=True)
    except OSError as error:
        raise HelperError(f"port {config.https_port} of this balancer serves no certificate: {error}") from None
    assert found
    return describe(found)


def install(layout: Layout, config: Config, bundle: str) -> bool:
    """Put a bundle (the certificate, its chain, its key; PEM) in place of what is on disk; whether it is another.

    HelperError (2): not a bundle, the key is another certificate's, or a name of the service is missing.
    """
    kinds = PEM.findall(bundle)
    if len(bundle) > LONGEST or PEM.sub("", bundle).strip() or not kinds:
        raise HelperError("not a bundle of certificates and a key (PEM)", code=2)
    if kinds[0] != "CERTIFICATE" or sum(kind.endswith("PRIVATE KEY") for kind in kinds) != 1:
        raise HelperError("a bundle is the certificate, its chain and one key, in this order", code=2)
    blocks = [found.group(0) for found in PEM.finditer(bundle)]
    leaf, key = blocks[0], next(block for block in blocks if "PRIVATE KEY" in block)
    if openssl("x509", "-noout", "-pubkey", data=leaf) != openssl("pkey", "-pubout", data=key):
        raise HelperError("the key of this bundle is not its certificate's", code=2)
    found = describe(leaf)
    if missing := [name for name in config.names if not covers(found["names"], name)]:
        raise HelperError(f"the certificate does not hold for {', '.join(missing)}", code=2)
    if layout.bundle.is_file() and layout.bundle.read_text() == bundle:
        return False
    write_durably(layout.bundle, bundle, mode=0o600)
    return True


def placeholder(layout: Layout) -> None:
    """A certificate of its own, by which a balancer can start and answer challenges until one is issued."""
    key = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", data="")
    with tempfile.NamedTemporaryFile("w", dir=layout.bundle.parent, prefix=".key.") as file:  # openssl wants a file
        file.write(key)
        file.flush()
        leaf = openssl("req", "-x509", "-key", file.name, "-days", "30", "-subj", "/CN=placeholder", data="")
    write_durably(layout.bundle, leaf + key, mode=0o600)


def covers(names: list[str], name: str) -> bool:
    """Whether one of a certificate's names holds for *name*; a wildcard for one label (RFC 6125, 6.4.3)."""
    return name in names or f"*.{name.partition('.')[2]}" in names
