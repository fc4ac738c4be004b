"""A host in a temporary folder: the helper's own code, with stand-ins for systemd and nginx."""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import inventory
from deploy.release import artefact, engine, session, settings, source
from deploy.release.packing import SUFFIX, Part, pack
from deploy.release.settings import Target
from deploy.release.source import Commit

from .fleet import SETTINGS, FakeBalancers, FakeHost

HOSTS = ("web1", "web2", "web3")
ROOT = Path(__file__).resolve().parents[3]
HELPER = ROOT / "roles/booking_app/files"
OLD, NEW = "20260101T000000Z-0000001", "20260102T000000Z-0000002"
VENV = "0123456789abcdef"

# systemctl: `start` runs a small web server on the activation's socket and keeps its pid in a file
SYSTEMCTL = """#!/bin/sh
echo "$@" >> {root}/systemctl.log
for unit; do :; done
activation=${{unit#booking-web@}}
activation=${{activation%.service}}
case $1 in
    list-units) for path in {root}/units/*; do
            state=active
            [ -s "$path" ] || state=failed
            name=${{path##*/}}
            [ -e "$path" ] && echo "${{name%.failed}} loaded $state running Booking"
        done; exit 0 ;;
    start) [ -e {root}/broken ] && exit 0
        {python} {root}/server.py "$activation" > /dev/null 2>&1 &
        echo $! > "{root}/units/$unit" ;;
    show) if [ -e "{root}/units/$unit" ]; then echo ActiveState=active; else echo ActiveState=failed; fi ;;
    stop) [ -e "{root}/units/$unit" ] || exit 0
        kill -9 "$(cat "{root}/units/$unit")"
        rm "{root}/units/$unit" ;;
esac
"""

SERVER = """
import http.server, os, socketserver, sys
os.setsid()
activation = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        red = os.path.exists("{root}/red")
        self.send_response(503 if red else 200)
        self.send_header("X-Release-Id", activation.rpartition(".")[0])
        self.end_headers()
        self.wfile.write(self.headers["Host"].encode())
    def address_string(self):
        return "nginx"
    def log_message(self, *args):
        pass
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    pass
Server("{root}/run/booking/" + activation + ".sock", Handler).serve_forever()
"""


class Host:
    """A host's root folder, and the helper's modules."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules = {
            name: importlib.import_module(f"booking_release.{name}")
            for name in ("cli", "layout", "lock", "records", "store", "units", "migrations")
        }
        self.layout = self.modules["layout"].Layout(root)
        self.token = 0

    def call(self, *argv: str, stream: bytes = b"") -> tuple[int, dict[str, Any]]:
        """One act by its command line: exit status and answer."""
        out, sys.stdout = sys.stdout, io.StringIO()
        try:
            code = self.modules["cli"].main(list(argv), self.layout, io.BytesIO(stream))
            return code, json.loads(sys.stdout.getvalue())
        finally:
            sys.stdout = out

    def act(self, name: str, *argv: str, stream: bytes = b"") -> tuple[int, dict[str, Any]]:
        """One act under the lock."""
        if not self.token:
            self.token = self.call("lock", json.dumps({"user": "test"}))[1]["token"]
        return self.call(name, "--token", str(self.token), *argv, stream=stream)

    def log(self) -> list[str]:
        """What systemctl was called with."""
        path = self.root / "systemctl.log"
        return path.read_text().splitlines() if path.exists() else []


class Release:
    """A small release, packed as the engine packs it."""

    def __init__(self, folder: Path, name: str, static: dict[str, str] | None = None) -> None:
        static = static if static is not None else {"a.css": f"a.{name[-7:]}.css"}
        for path, text in {
            "venv/pyvenv.cfg": "home = /usr/bin\n",
            "venv/lib/python3.13/site-packages/thing.py": "",
            "code/manage.py": f"# {name}\n",
            "static/staticfiles.json": json.dumps({"paths": static}),
            **{f"static/{hashed}": hashed for hashed in static.values()},
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        self.parts: dict[str, Part] = {
            part: pack(folder / part, folder / f"{part}{SUFFIX}") for part in ("venv", "code", "static")
        }
        self.name = name
        self.manifest: dict[str, Any] = {
            "id": name,
            "venv": VENV,
            "python": "3.13",
            "parts": {key: {"sha256": part.sha256, "size": part.size} for key, part in self.parts.items()},
            "migrations": ["shop.0001_initial"],
        }

    def stream(self, *parts: str) -> bytes:
        """What the engine sends: the manifest on one line, then the parts."""
        line = json.dumps(self.manifest).encode() + b"\n"
        return line + b"".join(self.parts[part].path.read_bytes() for part in parts)

    def stage(self, host: Host, *parts: str) -> tuple[int, dict[str, Any]]:
        """Send it to a host."""
        parts = parts or ("venv", "code", "static")
        words = [word for part in parts for word in ("--part", part)]
        return host.act("stage", *words, self.name, stream=self.stream(*parts))


@pytest.fixture
def host(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A converged host without a release."""
    monkeypatch.syspath_prepend(str(HELPER))
    root = short_path / "h"
    for folder in (
        "srv/booking/releases", "srv/booking/venvs", "srv/booking/static", "srv/booking/incoming",
        "run/booking", "var/lib/booking", "etc/booking", "usr/bin", "units", "bin",
    ):  # fmt: skip
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/python3.13").touch()
    settings = {"probe_host": "booking.example", "ready_seconds": 5, "served_seconds": 0.2, "web_port": 1}
    (root / "etc/booking/helper.json").write_text(json.dumps(settings))
    (root / "server.py").write_text(SERVER.format(root=root))
    for name, text in {
        "systemctl": SYSTEMCTL.format(root=root, python=sys.executable),
        "journalctl": "#!/bin/sh\necho 'Boom: the last line'\n",
        "sync": "#!/bin/sh\n",
    }.items():
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{root}/bin:{os.environ['PATH']}")
    yield Host(root)
    for unit in (root / "units").glob("*.service"):
        os.kill(int(unit.read_text()), signal.SIGKILL)


@pytest.fixture
def nginx(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's web server: asks whatever current.sock leads to, anew each time."""
    units = host.modules["units"]

    monkeypatch.setattr(units, "web_server", lambda layout: layout.current_socket)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder with a short name: a socket's path has room for 107 bytes, and pytest's own folders grow with
    every run (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="nx", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture
def old(tmp_path: Path) -> Release:
    """The older of two releases."""
    return Release(tmp_path / "old", OLD)


@pytest.fixture
def new(tmp_path: Path) -> Release:
    """The newer of two releases."""
    return Release(tmp_path / "new", NEW)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, FakeHost]:
    """Three web hosts and one balancer, behind the engine."""
    FakeHost.known = {}
    FakeHost.faults = staticmethod(lambda host, act: None)

    def remote(target: Any, wanted: Any) -> FakeHost:
        return FakeHost.known.setdefault(target.name, FakeHost(target, wanted))

    def group(name: str) -> list[SimpleNamespace]:
        names = HOSTS if name == "web" else ("lb1",)
        return [SimpleNamespace(name=n, address=n, addresses=(n,), variables={}) for n in names]

    def built(root: Path, commit: Commit, wanted: Any, out: Path) -> Any:
        release = Release(tmp_path / commit.release, commit.release)
        return SimpleNamespace(release=commit.release, manifest=release.manifest, parts=release.parts, size=1)

    monkeypatch.setattr(session, "Remote", remote)
    monkeypatch.setattr(engine, "Balancers", FakeBalancers)
    monkeypatch.setattr(engine, "BUILD", tmp_path / "build")
    monkeypatch.setattr(inventory, "load", lambda env: SimpleNamespace(env=env, need=group))
    monkeypatch.setattr(settings, "read", lambda fleet: SETTINGS)
    monkeypatch.setattr(source, "resolve", lambda root, ref: Commit("0" * 40, ref))
    monkeypatch.setattr(artefact, "build", built)
    for name in HOSTS:
        remote(Target(name, name, 22, ""), SETTINGS)
    return FakeHost.known
