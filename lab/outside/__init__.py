"""`outside`: the one host that plays the rest of the world (DNS, an ACME authority, payments and mail)."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from lab import machine
from lab.errors import LabError
from lab.inventory import ACME_DIRECTORY, ACME_HOST, CHAPA_HOST, MAIL_HOST, acme_roots
from lab.progress import Progress
from lab.state import ROOT, Lab
from lab.topology import DOMAIN, EXTRA_DOMAINS

PLAYBOOK = Path(__file__).with_name("site.yml")
DAYS = 3650
KEY_USAGE = x509.KeyUsage(
    key_cert_sign=True, crl_sign=False, digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)
# The names that `outside` answers to; its certificate is for all of them.
NAMES = (ACME_HOST, CHAPA_HOST, MAIL_HOST)
MAIL_PORT = 587
CHAPA_URL = f"https://{CHAPA_HOST}:8443/v1"
# Where the payment provider tells the booking service what has become of a payment.
WEBHOOK_URL = f"https://{DOMAIN}/api/v1/payments/chapa/webhook/"
# Chapa waits 10 minutes before it tells again; a test need not.
WEBHOOK_RETRY_SECONDS = 2


def authority(lab: Lab) -> str:
    """The PEM certificate of the authority that vouches for what `outside` serves by TLS; drawn together with the
    key and certificate of these servers, below `outside/`, and again when `outside` has got another name."""
    folder = lab.directory / "outside"
    folder.mkdir(parents=True, exist_ok=True)
    if set(names(folder / "server.pem")) != set(NAMES):
        draw(folder)
    return (folder / "ca.pem").read_text()


def names(certificate: Path) -> list[str]:
    """The names that a PEM certificate is for; none where there is no such file."""
    if not certificate.exists():
        return []
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)


def converge(lab: Lab, progress: Progress) -> None:
    """Provision `outside` by its own playbook."""
    host = lab.topology.outside
    inventory = lab.directory / "outside/hosts.yml"
    addresses = {h.name: [h.ipv4, h.ipv6] for h in lab.topology.hosts}
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"outside": {
        "ansible_host": host.ipv4,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(lab.key),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab.known_hosts}",
        "ansible_control_path_dir": f"/run/nexus/{lab.id}-{lab.token}",
        "outside_names": {
            **addresses, **dict.fromkeys(NAMES, addresses["outside"]),
            **{name: list(lab.topology.front) for name in (DOMAIN, *EXTRA_DOMAINS)},
        },
        "outside_resolvers": machine.resolvers(),
        "outside_certificates": str(lab.directory / "outside"),
        "outside_acme_host": ACME_HOST,
        "outside_roots": roots.read_text() if (roots := acme_roots(lab)).exists() else "",
        "outside_webhook_url": WEBHOOK_URL,
        "outside_webhook_retry_seconds": WEBHOOK_RETRY_SECONDS,
    }}}}))
    progress.run(
        [Path(machine.python()).with_name("ansible-playbook"), "-i", inventory, PLAYBOOK],
        log="outside", mend="make up", cwd=ROOT,
    )


def fetch_roots(lab: Lab) -> Path:
    """Add the ACME authority's present root to the file of roots, and return that file.

    Pebble draws a new root at every start; certificates issued before stay valid under the old one. It has forgotten
    every account then, so the balancers begin anew with it when they are converged next.
    """
    address = lab.topology.outside.ipv4
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail", "--max-time", "10", "--retry", "20",
         "--retry-delay", "1", "--retry-connrefused", "--cacert",
         str(lab.directory / "outside/ca.pem"), "--resolve", f"{ACME_HOST}:15000:{address}",
         f"https://{ACME_HOST}:15000/roots/0"],
        check=False, capture_output=True, text=True,
    )
    if done.returncode:
        raise LabError(f"the ACME authority does not answer: {done.stderr.strip()}", where="outside", mend="make up")
    roots = acme_roots(lab)
    known = roots.read_text() if roots.exists() else ""
    if done.stdout not in known:
        _forget_accounts(lab)
        roots.write_text(known + done.stdout)
    return roots


def _forget_accounts(lab: Lab) -> None:
    """Remove what certbot keeps of the authority: its account, and certificates that only this account can renew. What
    the balancers serve stays until it is replaced."""
    for host in lab.topology.group("loadbalancers"):
        for part in ("accounts", "renewal", "live", "archive"):
            shutil.rmtree(lab.host_root(host) / "etc/letsencrypt" / part, ignore_errors=True)


def draw(folder: Path) -> None:
    """Write ca.pem, server.key and, last, server.pem to *folder*: an authority, and a server's certificate for NAMES.
    The authority's key is kept nowhere: it signs once."""
    now = datetime.now(UTC)

    def certificate(subject: str, public: ec.EllipticCurvePublicKey, issuer: str) -> x509.CertificateBuilder:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)])
        start = now - timedelta(days=1)
        return (
            x509.CertificateBuilder().subject_name(name).issuer_name(by).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start).not_valid_after(start + timedelta(days=DAYS))
        )

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = "Sandbox authority"
    # Python 3.13 verifies strictly (RFC 5280): each says which key it is of and by, and the authority what it is for.
    ca = certificate(ca_name, ca_key.public_key(), ca_name).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    ).add_extension(KEY_USAGE, critical=True).add_extension(
        x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False
    ).sign(ca_key, hashes.SHA256())
    server = certificate(ACME_HOST, key.public_key(), ca_name).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name) for name in NAMES]), critical=False
    ).add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
    ).sign(ca_key, hashes.SHA256())
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ))
    (folder / "server.pem").write_bytes(server.public_bytes(serialization.Encoding.PEM))


def describe(lab: Lab) -> dict[str, str]:
    """What `outside` offers, by what it is for, with the address at which hosts of the fleet find it."""
    return {
        "DNS": lab.topology.outside.ipv4, "ACME": ACME_DIRECTORY, "payments": CHAPA_URL,
        "mail": f"{MAIL_HOST}:{MAIL_PORT}",
    }
