"""An issuer with a lineage, an authority that issues, and balancers that serve: certbot, ssh and booking-edge are
stand-ins on the path, the TLS is real."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.specs import ROOT

sys.path.insert(0, str(ROOT / "roles/certbot/files"))

DIRECTORY = "https://acme.example.org:14000/dir"
NAMES = ["booking.example.org", "www.example.org"]
KEY = {"kty": "EC", "crv": "P-256", "x": "x-of-the-key", "y": "y-of-the-key", "d": "the secret part"}

# certbot(1): registers, and issues for the names given; `refuse` has it fail.
CERTBOT = """#!/bin/sh
echo "$@" >> "$ROOT/asked"
[ -e "$ROOT/refuse" ] && { echo "the authority refuses" >&2; exit 1; }
case $1 in
register)
    mkdir -p "$ROOT/etc/letsencrypt/accounts/acme.example.org:14000/dir/1"
    cp "$ROOT/account.json" "$ROOT/etc/letsencrypt/accounts/acme.example.org:14000/dir/1/private_key.json" ;;
certonly) touch "$ROOT/issued" ;;
esac
"""
# booking-edge(1) and ssh(1): what is on standard input becomes what that balancer serves.
TAKE = """#!/bin/sh
echo "$(basename "$0") $@" >> "$ROOT/handed"
case $(basename "$0") in
ssh) for last; do :; done; target=${last#*@} ;;
*) [ "$1" = take-certificate ] || exit 2; target=here ;;
esac
[ -e "$ROOT/refuse-$target" ] && { echo "not today" >&2; exit 1; }
cat > "$ROOT/served-$target.pem.new" && mv "$ROOT/served-$target.pem.new" "$ROOT/served-$target.pem"
"""


def certificate(folder: Path, name: str, *names: str, days: int = 90) -> Path:
    """A certificate and its key in one PEM file, drawn anew."""
    path, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         str(days), "-subj", "/CN=test", "-addext", "subjectAltName=" + ",".join(f"DNS:{each}" for each in names),
         "-keyout", str(key), "-out", str(path)], check=True, capture_output=True,
    )
    path.write_text(path.read_text() + key.read_text())
    return path


@dataclass
class Balancer:
    """A TLS server that serves, to each connection anew, what its file holds."""

    bundle: Path
    address: str
    sock: socket.socket = field(init=False)

    def start(self, port: int) -> int:
        """Listen; the port."""
        self.sock = socket.create_server((self.address, port))
        threading.Thread(target=self._serve, daemon=True).start()
        return int(self.sock.getsockname()[1])

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.sock.accept()
            except OSError:
                return
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.bundle)
            try:
                with context.wrap_socket(connection, server_side=True):
                    pass
            except OSError:
                continue


@dataclass
class Issuer:
    """One issuer, here, and two other balancers."""

    root: Path
    port: int = 0
    balancers: list[Balancer] = field(default_factory=list)
    peers: tuple[tuple[str, str], ...] = (("two", "127.0.0.2"), ("three", "127.0.0.3"))

    def start(self) -> None:
        """Have every balancer serve a placeholder."""
        placeholder = certificate(self.root, "placeholder", "placeholder")
        for target, address in (("here", "127.0.0.1"), *((address, address) for _, address in self.peers)):
            bundle = self.root / f"served-{target}.pem"
            bundle.write_text(placeholder.read_text())
            self.balancers.append(Balancer(bundle, address))
            self.port = self.balancers[-1].start(self.port)

    def configure(self, **changes: Any) -> None:
        """What site.yml writes."""
        config = {
            "name": "one", "issuer": True, "directory": DIRECTORY, "key_type": "ecdsa", "names": NAMES,
            "https_port": self.port, "metrics": str(self.root / "metrics"), "ca_file": "",
            "peers": [{"name": name, "address": address, "ssh_port": 22} for name, address in self.peers],
        }
        path = self.root / "etc/certificate-issuer/config.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(config | changes))

    def issued(self, *names: str, days: int = 90, **renewal: str) -> Path:
        """A lineage as certbot leaves it."""
        live = self.root / "etc/letsencrypt/live/site"
        live.mkdir(parents=True, exist_ok=True)
        made = certificate(self.root, "issued", *(names or NAMES), days=days)
        leaf, key = made.read_text(), (self.root / "issued.key").read_text()
        leaf = leaf.removesuffix(key)
        (live / "cert.pem").write_text(leaf)
        (live / "fullchain.pem").write_text(leaf)
        (live / "privkey.pem").write_text(key)
        conf = self.root / "etc/letsencrypt/renewal/site.conf"
        conf.parent.mkdir(parents=True, exist_ok=True)
        said = {"server": DIRECTORY, "key_type": "ecdsa", "renew_hook": "/usr/local/sbin/certificate-issuer hand-on"}
        conf.write_text("".join(f"{name} = {value}\n" for name, value in (said | renewal).items()))
        return made

    def serving(self) -> dict[str, str]:
        """The first certificate of what each balancer serves."""
        return {each.address: each.bundle.read_text().partition("-----END")[0] for each in self.balancers}

    def lines(self, name: str) -> list[str]:
        """What a stand-in was called with."""
        path = self.root / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def issuer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"certbot": CERTBOT, "ssh": TAKE, "booking-edge": TAKE}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / "account.json").write_text(json.dumps(KEY))
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("ROOT", str(tmp_path))
    made = Issuer(tmp_path)
    made.start()
    made.configure()
    yield made
    for each in made.balancers:
        each.sock.close()


@pytest.fixture
def act(issuer: Issuer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs one act of the program; answers with code, out and err."""
    from certificate_issuer import cli, config, peers

    monkeypatch.setattr(peers, "SETTLE_SECONDS", 0.3)

    def run(*argv: str) -> SimpleNamespace:
        code = cli.main(argv, config.Layout(issuer.root))
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out.strip(), err=said.err.strip())

    return run
