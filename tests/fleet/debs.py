"""Debian packages made on the spot, and an apt repository of them on a host's own disk: no network is asked."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.fleet.site import Site

OLD, NEW = "1", "2"
FOLDER = "/srv/patch-test"
SERVICE = "redis-patch-test"  # of a name that unattended upgrades leave alone, and held by apt as well
KERNEL = "patch-test-kernel"
FRAGILE = "patch-test-fragile"
PLAIN = "patch-test-plain"
UNIT = f"{SERVICE}.service"
STARTS = "/var/lib/patch-test-starts"
BREAK = "/etc/patch-test-break"

_UNIT = f"""[Unit]
Description=A service of the tests, that says when it starts
[Service]
ExecStartPre=/bin/sh -c 'cut -d" " -f1 /proc/uptime >> {STARTS}'
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
# As debhelper writes it: a service is restarted by its package, unless the policy of the host forbids it.
_RESTART = f"""#!/bin/sh
set -e
systemctl daemon-reload
deb-systemd-helper enable {UNIT} > /dev/null
deb-systemd-invoke restart {UNIT} > /dev/null || true
"""
_REBOOT = f"""#!/bin/sh
set -e
test "$2" = "" || {{ touch /run/reboot-required; echo {KERNEL} >> /run/reboot-required.pkgs; }}
"""
_FAIL = f"""#!/bin/sh
if [ -e {BREAK} ]; then echo 'the disk of this package is on fire' >&2; exit 1; fi
"""
FILES: Mapping[str, Mapping[str, str]] = {
    SERVICE: {f"usr/lib/systemd/system/{UNIT}": _UNIT},
    KERNEL: {},
    FRAGILE: {},
    PLAIN: {},
}
SCRIPTS = {SERVICE: _RESTART, KERNEL: _REBOOT, FRAGILE: _FAIL}
_AWAY = """set -e
mkdir /etc/apt/away /etc/apt/away/sources.list.d
mv /etc/apt/sources.list /etc/apt/away/ 2>/dev/null || true
mv /etc/apt/sources.list.d/* /etc/apt/away/sources.list.d/ 2>/dev/null || true
mv /var/lib/apt/lists /var/lib/apt/lists.away; mkdir -p /var/lib/apt/lists/partial
"""
_BACK = f"""
rm -f {BREAK} {STARTS} /run/reboot-required /run/reboot-required.pkgs
rm -rf {FOLDER} /etc/apt/sources.list.d/patch-test.list
test ! -d /etc/apt/away || {{
    mv /etc/apt/away/sources.list /etc/apt/ 2>/dev/null
    mv /etc/apt/away/sources.list.d/* /etc/apt/sources.list.d/ 2>/dev/null
    rm -r /etc/apt/away /var/lib/apt/lists; mv /var/lib/apt/lists.away /var/lib/apt/lists
}}
systemctl reset-failed nexus-patch.service 2>/dev/null; systemctl stop nexus-patch.service 2>/dev/null; true
"""


def build(folder: Path, name: str, version: str) -> Path:
    """One package, of one version."""
    tree = folder / f"{name}-{version}"
    control = tree / "DEBIAN"
    control.mkdir(parents=True)
    (control / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Tests <tests@example.org>\n"
        f"Description: a package of the tests\n"
    )
    if script := SCRIPTS.get(name):
        (control / "postinst").write_text(script)
        (control / "postinst").chmod(0o755)
    for path, text in {**FILES[name], f"usr/share/{name}/version": version}.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)
    deb = folder / f"{name}_{version}_all.deb"
    done = subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(deb)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return deb


def index(debs: Iterable[Path]) -> str:
    """The repository's list of packages (Debian repository format, a flat one)."""
    rows = []
    for deb in debs:
        fields = subprocess.run(["dpkg-deb", "--field", str(deb)], capture_output=True, text=True, check=True).stdout
        data = deb.read_bytes()
        rows.append(f"{fields}Filename: ./{deb.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n")
    return "\n".join(rows)


class Repository:
    """Hosts that have old packages, and a repository on their own disk that has new ones, and nothing else."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.hosts: list[str] = []
        self.old = {name: build(folder, name, OLD) for name in FILES}
        self.new = {name: build(folder, name, NEW) for name in FILES}

    def outdate(self, host: str, *names: str) -> None:
        """Have a host run old packages that its repository has newer ones of. The service's is held."""
        site, place = self.site, self.site.path(host, FOLDER)
        if host not in self.hosts:
            self.hosts.append(host)
            site.shell(host, _BACK + _AWAY)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in names:
            for deb in (self.old[name], self.new[name]):
                shutil.copy(deb, place)
        (place / "Packages").write_text(index(self.new[name] for name in names))
        site.path(host, "/etc/apt/sources.list.d/patch-test.list").write_text(f"deb [trusted=yes] file:{FOLDER} ./\n")
        old = " ".join(f"{FOLDER}/{self.old[name].name}" for name in names)
        site.shell(host, f"dpkg --install --force-downgrade {old} >/dev/null 2>&1 && apt-get -q update >/dev/null"
                         f" && rm -f /run/reboot-required {STARTS}")
        if SERVICE in names:
            site.shell(host, f"apt-mark hold {SERVICE} >/dev/null")

    def version(self, host: str, name: str) -> str:
        """The installed version of a package, where it is configured."""
        said = self.site.shell(host, f"dpkg-query -W -f '${{db:Status-Status}} ${{Version}}' {name}")
        return said.removeprefix("installed ").strip()

    def starts(self, host: str) -> list[float]:
        """When the service of the tests was started (seconds since the machine's boot)."""
        path = self.site.path(host, STARTS)
        return [float(line) for line in path.read_text().split()] if path.exists() else []

    def remove(self) -> None:
        """Every host as it was."""
        for host in self.hosts:
            self.site.shell(host, f"apt-mark unhold {SERVICE} >/dev/null; rm -f {BREAK};"
                                  f" dpkg --purge --force-all {' '.join(FILES)} >/dev/null 2>&1; {_BACK}")
