"""A host and a fleet to try things on."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import inventory
from deploy.release import artefact, conduct, engine, preflight, rotation, run, session, settings, source
from deploy.release.artefact import Artefact
from deploy.release.packing import Part
from deploy.release.settings import Target
from deploy.release.source import Commit

from .fleet import SETTINGS, FakeHost, well
from .front import GOOD, FakeBalancers, FakeEdge, FakeProbe
from .machine import HELPER, NEW, OLD, SERVER, SYSTEMCTL, SYSTEMD_RUN, VENV, Host, Release

HOSTS = ("web1", "web2", "web3")


@pytest.fixture
def host(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A converged host without a release."""
    monkeypatch.syspath_prepend(str(HELPER))
    root = short_path / "h"
    for folder in (
        "srv/booking/releases", "srv/booking/venvs", "srv/booking/static", "srv/booking/incoming",
        "run/booking", "var/lib/booking", "etc/booking/credentials", "etc/systemd/system", "usr/bin", "proc",
        "units", "show", "timers", "bin", "usr/lib/postgresql/17/bin",
    ):  # fmt: skip
        (root / folder).mkdir(parents=True)
    (root / "usr/bin/python3.13").touch()
    for name, text in {
        "etc/booking/environment": "# settings\nBOOKING_A=1\n" + "".join(
            f"BOOKING_DATABASE_{name}=the-{name.lower()}\n"
            for name in ("HOST", "PORT", "NAME", "USER", "SSLMODE", "SSLROOTCERT")
        ),
        "etc/booking/credentials/database_password": "p4ss\n",
        "etc/booking/credentials/secret_key": "s3cret\n",
        "etc/systemd/system/booking-web@.service": "[Service]\n",
        "proc/meminfo": "MemTotal: 4096 kB\nMemAvailable: 2048 kB\n",
    }.items():
        (root / name).write_text(text)
    (root / "server.py").write_text(SERVER.format(root=root))
    for name, text in {
        "systemctl": SYSTEMCTL.format(root=root, python=sys.executable),
        "systemd-run": SYSTEMD_RUN.format(root=root),
        "getent": "#!/bin/sh\necho '192.0.2.1 STREAM booking.example'\necho '192.0.2.1 DGRAM'\n",
        "journalctl": "#!/bin/sh\necho 'Boom: the last line'\n",
        "sync": "#!/bin/sh\n",
        "setpriv": '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n',
    }.items():
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{root}/bin:{os.environ['PATH']}")
    found = Host(root)
    monkeypatch.setattr(found.modules["systemd"], "TRANSIENT", root / "timers")
    found.configure(
        probe_host="booking.example", web_port=1, ready_seconds=5, served_seconds=0.2, steady_seconds=0,
        lease_seconds=60, web=True, processes=[], credentials=["secret_key"],
    )  # fmt: skip
    yield found
    for unit in (root / "units").glob("*.service"):
        if pid := unit.read_text():
            os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def nginx(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's web server: asks whatever current.sock leads to, anew each time."""
    monkeypatch.setattr(host.modules["probe"], "web_server", lambda layout: layout.current_socket)


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
def serving(host: Host, nginx: None, old: Release, new: Release) -> Host:
    """A host that serves the old release and holds the new one."""
    return host.serving(old, new)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, FakeHost]:
    """Three web hosts and one balancer, behind the engine."""
    return engine_fleet(monkeypatch, tmp_path, HOSTS, ())


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, FakeHost]:
    """Two web hosts, one of them with worker processes as well, and a host with these alone."""
    return engine_fleet(monkeypatch, tmp_path, ("web1", "web2"), ("web2", "jobs1"))


def engine_fleet(
    monkeypatch: pytest.MonkeyPatch, folder: Path, web: Sequence[str], workers: Sequence[str]
) -> dict[str, FakeHost]:
    """Stand-ins for the hosts of both groups, and for all that the engine reaches beside them."""
    FakeHost.known, FakeHost.migrations, FakeHost.applied = {}, {}, []
    FakeEdge.drained_hosts, FakeEdge.seen = set(), {}
    FakeProbe.says, FakeProbe.going = GOOD, 0
    well()
    groups = {"web": web, "workers": workers, "loadbalancers": ("lb1",)}
    values: dict[str, Any] = {
        "loadbalancer_https_port": 443,
        "booking_app_processes": [{"name": "tasks", "command": "run", "groups": ["workers"], "drain_seconds": 1}],
    }

    def group(name: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(name=n, address=n, addresses=(n,), variables={}) for n in groups[name]]

    part = folder / "part"
    part.write_bytes(b"x")

    def built(root: Path, commit: Commit, wanted: Any, out: Path) -> Artefact:
        manifest = {
            "id": commit.release, "venv": VENV, "commit": commit.sha, "author": "Ann", "subject": "More",
            "migrations": FakeHost.migrations.get(commit.release, {}),
        }  # fmt: skip
        parts = {name: Part(part, "0" * 64, 1) for name in ("venv", "code", "static")}
        return Artefact(commit.release, manifest, parts, "", "ann@laptop", "2026-01-01T00:00:00Z")

    def resolve(root: Path, ref: str) -> Commit:
        known = next((name for host in FakeHost.known.values() for name in host.releases if name[-7:] == ref), ref)
        return Commit("0" * 40, known)

    for module in (run, rotation):
        monkeypatch.setattr(module, "Edge", FakeEdge)
    monkeypatch.setattr(session, "Remote", lambda target, wanted: FakeHost.known[target.name])
    monkeypatch.setattr(run, "Balancers", FakeBalancers)
    monkeypatch.setattr(conduct, "Probe", FakeProbe)
    monkeypatch.setattr(preflight, "check", lambda *_: [])
    monkeypatch.setattr(engine, "BUILD", folder / "build")
    monkeypatch.setattr(
        inventory, "load",
        lambda env: SimpleNamespace(env=env, need=group, group=group, value=lambda host, name: values[name]),
    )  # fmt: skip
    monkeypatch.setattr(settings, "read", lambda fleet: SETTINGS)
    monkeypatch.setattr(source, "resolve", resolve)
    monkeypatch.setattr(source, "refuse_changes", lambda root, ref: None)
    monkeypatch.setattr(artefact, "build", built)
    for name in dict.fromkeys([*web, *workers]):
        target = Target(name, name, 22, "")
        FakeHost.known[name] = FakeHost(target, SETTINGS, web=name in web, processes=name in workers)
    return FakeHost.known
