"""The account and the certificate, by certbot. What can be known from its files is not asked of the authority."""

import base64
import hashlib
import json
import os
import re
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from .config import Config, IssuerError, Layout

HOOK = "/usr/local/sbin/certificate-issuer hand-on"
RENEW_SECONDS = 30 * 86400  # certbot's own: it renews what ends within thirty days
# The members of a key that its thumbprint is made of, by the key's kind (RFC 7638, 3.2).
MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}


def certbot(config: Config, *arguments: str) -> None:
    """Run certbot. IssuerError: it failed; what it said is in the message."""
    extra = {"REQUESTS_CA_BUNDLE": config.ca_file} if config.ca_file else {}
    done = subprocess.run(
        ["certbot", *arguments], env={**os.environ, **extra}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise IssuerError(
            f"certbot {arguments[0]} failed at {config.directory}:\n{said}\nits log: /var/log/letsencrypt"
        )


def account_key(layout: Layout, config: Config) -> Path | None:
    """Where certbot keeps the key of its account at the directory; None where it has none."""
    where = urlsplit(config.directory)
    folder = layout.letsencrypt / "accounts" / where.netloc / where.path.strip("/")
    return next(iter(sorted(folder.glob("*/private_key.json"))), None)


def thumbprint(key: dict[str, str]) -> str:
    """The thumbprint of a public key's JWK (RFC 7638), as challenges are answered with (RFC 8555, 8.1)."""
    text = json.dumps({name: key[name] for name in MEMBERS[key["kty"]]}, separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def account(layout: Layout, config: Config) -> tuple[str, bool]:
    """The account's thumbprint, registered if there is none yet; and whether it was."""
    registered = account_key(layout, config) is None
    if registered:
        certbot(config, "register")
    key = account_key(layout, config)
    if key is None:
        raise IssuerError(
            f"certbot registered at {config.directory}, and no key is below {layout.letsencrypt}/accounts"
        )
    return thumbprint(json.loads(key.read_text())), registered


def leaf(layout: Layout) -> bytes:
    """The certificate as it was issued (DER). IssuerError: none was yet."""
    try:
        return ssl.PEM_cert_to_DER_cert((layout.live / "cert.pem").read_text())
    except OSError:
        raise IssuerError("no certificate was issued yet: certificate-issuer issue") from None


def describe(layout: Layout) -> tuple[set[str], float]:
    """The names of the certificate, and when it ends (Unix time)."""
    said = subprocess.run(
        ["openssl", "x509", "-in", str(layout.live / "cert.pem"), "-noout", "-enddate", "-ext", "subjectAltName"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    ends = re.search(r"notAfter=(.*)", said)
    assert ends
    return set(re.findall(r"DNS:([^,\s]+)", said)), ssl.cert_time_to_seconds(ends[1])


def wanted(layout: Layout, config: Config) -> str:
    """Why a certificate has to be issued: "" for not at all, "new", "renew", or "force" for another of the same names
    (of another directory, of another kind, or one that nobody would hand on)."""
    renewal = layout.letsencrypt / "renewal/site.conf"
    if not (layout.live / "cert.pem").exists() or not renewal.exists():
        return "new"
    present = dict(re.findall(r"^(\w+) = (.*)$", renewal.read_text(), re.MULTILINE))
    settings = {"server": config.directory, "key_type": config.key_type, "renew_hook": HOOK}
    if any(present.get(name) != value for name, value in settings.items()):
        return "force"
    names, ends = describe(layout)
    return "renew" if names != set(config.names) or ends - time.time() < RENEW_SECONDS else ""


def issue(config: Config, why: str) -> None:
    """Have the certificate issued."""
    forced = ["--force-renewal"] if why == "force" else ["--keep-until-expiring"]
    domains = [word for name in config.names for word in ("--domain", name)]
    certbot(config, "certonly", "--cert-name", "site", "--renew-with-new-domains", *forced, *domains)
