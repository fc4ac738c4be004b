"""How pyinfra reaches the hosts of an environment: from Ansible's own connection variables."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from deploy.inventory import Fleet, Host
from deploy.release import postquantum
from deploy.specs import ROOT

OPERATOR = "ops"


class Transport(postquantum.Transport):
    """Without Nagle's delay, which costs 45 ms of every command."""

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        if isinstance(self.sock, socket.socket):
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def data(fleet: Fleet, host: Host, user: str = "", root: Path = ROOT) -> dict[str, Any]:
    """pyinfra's data of a host. user: who logs in; the operator unless given."""

    def variable(name: str) -> str:
        return str(fleet.value(host.name, name)) if host.variables.get(name) else ""

    key, known = variable("ansible_ssh_private_key_file"), str(fleet.value(host.name, "release_known_hosts_file"))
    found = {
        "ssh_hostname": host.address,
        "ssh_port": int(variable("ansible_port") or 22),
        "ssh_user": user or variable("ansible_user") or OPERATOR,
        "ssh_strict_host_key_checking": "yes",
        "ssh_paramiko_connect_kwargs": {"transport_factory": Transport},
        "_sudo": True,
    }
    if key:
        found["ssh_key"] = str(root / Path(key).expanduser())
    if known:
        found["ssh_known_hosts_file"] = str(root / Path(known).expanduser())
    return found
