"""The engine's own time: the same `fab deploy`, to stand-in hosts that cost nothing, two of them and eight."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lab.topology import DOMAIN
from tests.fleet import commits
from tests.fleet.site import Run

SIZES = (2, 8)
# Of the machine alone, and apart from 127.0.0.1, where something may listen on port 443.
EDGE = "127.89.0.1"
READY_SECONDS = 30.0


def measure(env: str, hosts: int, made: list[str]) -> list[float]:
    """Seconds that each of some deploys takes, from the start of the command to its end.

    *env*: the sandbox whose settings are used; *made*: commits that are built already, the first of which is
    deployed beforehand.
    """
    with standing(env, hosts) as name:
        found = []
        for commit in made:
            began = time.monotonic()
            run = Run("fab", "deploy", "--env", name, "--ref", commit)
            if run.end():
                raise RuntimeError(f"deploy to {hosts} stand-in hosts:\n{run.said}")
            found.append(time.monotonic() - began)
    return found[1:]


@contextlib.contextmanager
def standing(env: str, hosts: int) -> Iterator[str]:
    """That many stand-in hosts behind a stand-in balancer; the environment that names them."""
    inventory = commits.ROOT / "inventories" / f"{env}-standin"
    with tempfile.TemporaryDirectory() as folder:
        spec = describe(Path(folder), hosts)
        write(inventory, commits.ROOT / "inventories" / env, spec)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.standins", str(Path(folder, "spec.json"))], cwd=commits.ROOT,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        )
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"the stand-in hosts did not start (exit {process.wait(timeout=5)})")
            reachable(EDGE, 443)
            yield inventory.name
        finally:
            process.kill()
            process.wait()
            shutil.rmtree(inventory, ignore_errors=True)


def describe(folder: Path, hosts: int) -> dict[str, Any]:
    """Draw keys, a certificate and ports; write what `tests.bench.standins` wants to know into the folder."""
    for name in ("host", "user"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    # The certificate is its own authority, and a file holds key and certificate alike.
    _run("openssl", "req", "-x509", "-nodes", "-days", "30",
         "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-subj", "/CN=stand-in", "-addext", f"subjectAltName=DNS:{DOMAIN}",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem"))
    (folder / "tls.pem").write_text((folder / "key.pem").read_text() + (folder / "ca.pem").read_text())
    ports = free_ports(hosts + 1)
    spec: dict[str, Any] = {
        "hosts": {f"web{number + 1}": port for number, port in enumerate(ports[1:])},
        "balancer": {"address": EDGE, "port": ports[0]},
        "host_key": str(folder / "host"), "user_key": str(folder / "user.pub"), "certificate": str(folder / "tls.pem"),
        "venvs": [path.name for path in (commits.ROOT / "build/deps").glob("*")],
        "folder": str(folder),
    }
    key = " ".join((folder / "host.pub").read_text().split()[:2])
    places = [("127.0.0.1", port) for port in ports[1:]] + [(EDGE, ports[0])]
    (folder / "known_hosts").write_text("".join(f"[{address}]:{port} {key}\n" for address, port in places))
    (folder / "spec.json").write_text(json.dumps(spec))
    return spec


def write(inventory: Path, sandbox: Path, spec: dict[str, Any]) -> None:
    """An environment with the stand-in hosts and, but for what has to differ, the settings of a sandbox."""
    shutil.rmtree(inventory, ignore_errors=True)
    shutil.copytree(sandbox, inventory, symlinks=True)
    before = yaml.safe_load((sandbox / "hosts.yml").read_text())["all"]
    database = next(iter(before["children"]["database"]["hosts"]))
    edge = spec["balancer"]
    hosts: dict[str, Any] = {
        "lb1": {"ansible_host": edge["address"], "ansible_port": edge["port"], "base_addresses": [edge["address"]]},
        database: before["hosts"][database],
        **{name: {"ansible_host": "127.0.0.1", "ansible_port": port, "base_addresses": ["127.0.0.1"]}
           for name, port in spec["hosts"].items()},
    }
    others = [group for group in before["children"] if group not in ("loadbalancers", "web", "workers")]
    groups = {"loadbalancers": ["lb1"], "web": list(spec["hosts"]), **{group: [database] for group in others}}
    children: dict[str, Any] = {name: {"hosts": {host: {} for host in members}} for name, members in groups.items()}
    (inventory / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts, "children": children}}))
    folder = spec["folder"]
    (inventory / "group_vars/all/90-standin.yml").write_text(yaml.safe_dump({
        "ansible_ssh_private_key_file": f"{folder}/user", "release_known_hosts_file": f"{folder}/known_hosts",
        "release_ca_file": f"{folder}/ca.pem", "release_certificate_days": 1,
    }))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


def reachable(address: str, port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection((address, port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
