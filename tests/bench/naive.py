"""The reference: `pull + pip install + systemctl restart` on all hosts at once, as a small Fabric script does it.

It is given what it needs, so that it loses nothing to a slow network: the archive of each release, and every wheel,
lie on the hosts before the clock starts; its dependencies are installed already, so that pip has only to say so.
Same application, same settings and secrets, same gunicorn options, same nginx in front.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

from fabric import Connection, SerialGroup, ThreadingGroup

from deploy.release import postquantum
from tests.fleet import commits
from tests.fleet.site import TOOLS, Site

HOME = "/srv/naive"
SOCKET = "/run/booking/naive.sock"
CURRENT = "/run/booking/current.sock"
PYTHON = f"{HOME}/venv/bin/python"
UNIT = "naive.service"
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


class Naive:
    """The service as the script runs it, on the web hosts of a sandbox; `undo` gives the socket back."""

    def __init__(self, site: Site, wheels: Path) -> None:
        self.site, self.wheels = site, wheels
        options = {"key_filename": str(site.lab.key), "transport_factory": postquantum.Transport}
        connections = [
            Connection(site.host(name).ipv4, user="ops", connect_kwargs=options, connect_timeout=10)
            for name in site.web
        ]
        self.group = ThreadingGroup.from_connections(connections)
        self.each = SerialGroup.from_connections(connections)
        self.before = {name: site.status(name)["activation"] for name in site.web}

    def prepare(self, commits_: list[str]) -> None:
        """Everything that happens once: wheels, archives, dependencies, the unit. Not measured."""
        self._download()
        self.sudo(f"install -d -o root -m 0755 {HOME} {HOME}/wheels {HOME}/venv/bin")
        for connection in self.each:
            self._upload(connection, commits_)
        self.sudo(
            f"ln -sf /usr/bin/python3.13 {PYTHON} && printf 'home = /usr/bin\\nversion = 3.13\\n' "
            f"> {HOME}/venv/pyvenv.cfg && cp {HOME}/archives/*.unit /etc/systemd/system/{UNIT}"
        )
        self.deploy(commits_[0])

    def deploy(self, commit: str) -> None:
        """The script itself."""
        self.sudo(f"tar -x -C {HOME}/app -f {HOME}/archives/{commit}.tar")
        self.sudo(
            f"{PYTHON} {HOME}/pip/pip install --quiet --no-index --find-links {HOME}/wheels "
            f"--require-hashes -r {HOME}/app/requirements.txt"
        )
        self.sudo(f"echo BOOKING_RELEASE_ID={commits.release(commit)} > {HOME}/release && systemctl restart {UNIT}")

    def switch_on(self) -> None:
        """Let nginx pass requests to the script's service."""
        self.sudo(f"ln -sfn naive.sock {CURRENT}")

    def undo(self) -> None:
        """Back to the release that the engine left, and no trace of the script."""
        for name, activation in self.before.items():
            self.site.shell(name, f"ln -s {activation}.sock {CURRENT}.new && mv -T {CURRENT}.new {CURRENT}")
        self.sudo(
            f"systemctl stop {UNIT}; rm -rf {HOME} /etc/systemd/system/{UNIT} {SOCKET}; systemctl daemon-reload"
        )
        self.group.close()

    def sudo(self, command: str) -> None:
        """Run a shell command as root on all hosts at once. GroupException: it failed on one."""
        self.group.run(f"sudo sh -c {_quoted(command)}", hide=True, in_stream=False)

    def _download(self) -> None:
        """Every wheel of the lock for the hosts' Python, and pip's own, once a machine."""
        tool, lock = self.wheels / "pip-tool", commits.ROOT / "app/requirements.txt"
        if not tool.is_dir():
            _run(str(TOOLS / "uv"), "pip", "install", "--quiet", "--target", str(tool), "pip")
        (self.wheels / "files").mkdir(parents=True, exist_ok=True)
        platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
        _run(
            "env", f"PYTHONPATH={tool}", sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
            "--only-binary", ":all:", "--python-version", "3.13", *platforms, "--dest", str(self.wheels / "files"),
            "--require-hashes", "-r", str(lock),
        )

    def _upload(self, connection: Connection, commits_: list[str]) -> None:
        """Copy wheels, pip, archives and unit to a host."""
        archives = self.wheels / "archives"
        archives.mkdir(exist_ok=True)
        for commit in commits_:
            _run("git", "-C", str(commits.ROOT), "archive", "-o", str(archives / f"{commit}.tar"), f"{commit}:app")
        template = connection.run("systemctl cat 'booking-web@.service'", hide=True, in_stream=False).stdout
        (archives / "naive.unit").write_text(unit(template))
        packed = subprocess.run(
            ["tar", "-c", "-C", str(self.wheels), "--transform=s,^files,wheels,;s,^pip-tool,pip,", "files", "pip-tool",
             "archives"], check=True, capture_output=True,
        ).stdout
        connection.put(io.BytesIO(packed), "/tmp/naive.tar")
        connection.run(
            f"sudo sh -c 'mkdir -p {HOME}/app && tar -x -C {HOME} -f /tmp/naive.tar && rm /tmp/naive.tar "
            f"&& chown -R root:root {HOME} && chmod -R go+rX {HOME}'", hide=True, in_stream=False,
        )


def unit(template: str) -> str:
    """The script's unit, from the engine's own: the same process under one fixed name, restarted in place."""
    lines = []
    for line in template.splitlines():
        if line.startswith("ExecStart="):
            command = line.partition("venv/bin/python")[2].replace("/run/booking/%i.sock", SOCKET)
            lines += [
                f"WorkingDirectory={HOME}/app", f"EnvironmentFile={HOME}/release",
                f"Environment=BOOKING_STATIC_ROOT={HOME}/app/static PYTHONUNBUFFERED=1", f"ExecStart={PYTHON}{command}",
            ]
        elif not line.startswith("#"):
            lines.append(line.replace("activation %i", "by a script"))
    return "\n".join(lines) + "\n"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:6])} …: {done.stderr.strip()[-2000:]}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
