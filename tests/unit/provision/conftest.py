"""A host as pyinfra sees it: what it was found to be goes in, the commands of an operation come out."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.context import ctx_host, ctx_inventory, ctx_state

from deploy.provision.here import Here
from deploy.rendering import Renderer
from tests.unit.test_rendering import Fixed

NAME = "@fake"
HOST_YML = """
accounts:
  - {name: app, system: true, home: /srv/app, create_home: false, shell: /usr/sbin/nologin}
  - {name: person}
files:
  main:
    - {path: /etc/app, state: directory}
    - {path: /etc/app/old, state: absent}
    - {path: /etc/app/app.conf, mode: "0600", pending: app}
    - {path: /etc/app/other, content: "other\\n"}
  secret:
    - {path: /etc/app/secret, content: "{{ app_secret }}", mode: "0400"}
  later:
    - {path: /etc/app/later, content: "{{ of_the_moment }}"}
units:
  main: [{name: app.service}]
renewals:
  main:
    - {pending: app shared, check: app --check, reload: app.service}
"""


class Stand:
    """One host with the role "app", and how it was found: as that has it, until a test says otherwise."""

    def __init__(self, root: Path) -> None:
        (root / "roles/app/meta").mkdir(parents=True)
        (root / "roles/app/meta/host.yml").write_text(HOST_YML)
        (root / "templates/etc/app").mkdir(parents=True)
        (root / "templates/etc/app/app.conf.j2").write_text("port {{ app_port }}\n")
        self.root = root
        self.view = Fixed(app_port=1, app_packages=["app", "lib"], app_secret="hunter2hunter2")
        self.found: dict[str, Any] = {
            "files": {
                "/etc/app": made("directory", "0755"), "/etc/app/old": {"kind": "absent"},
                "/etc/app/app.conf": made("file", "0600", "port 1\n"),
                "/etc/app/other": made("file", "0644", "other\n"),
                "/etc/app/secret": {"kind": "absent"}, "/etc/app/later": {"kind": "absent"},
            },
            "accounts": {
                "app": {"shell": "/usr/sbin/nologin", "home": "/srv/app", "home_there": False},
                "person": {"shell": "/bin/bash", "home": "/home/person", "home_there": True},
            },
            "units": {"app.service": {
                "LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no",
            }},
            "pending": [], "answers": {}, "packages": {"installed": ["app", "lib"], "known": ["app", "lib"]},
        }  # fmt: skip

    @property
    def renderer(self) -> Renderer:
        """What renders for it."""
        return Renderer(self.view, NAME, root=self.root)

    def commands(self, operation: Any, *arguments: Any, **options: Any) -> list[Any]:
        """The commands that an operation would run."""
        responses = {"python3 -": json.dumps(self.found)}
        inventory = Inventory(([(NAME, {"fake_delay": 0, "fake_responses": responses})], {}))
        state = State(inventory, Config())
        (host,) = inventory
        with ctx_state.use(state), ctx_inventory.use(inventory), ctx_host.use(host):
            Here(host, self.view, ["app"], [("app", "later")], {}, self.root)
            return list(operation._inner(*arguments, **options))

    def words(self, operation: Any, *arguments: Any, **options: Any) -> list[str]:
        """The same as a shell gets them."""
        found = self.commands(operation, *arguments, **options)
        return [each if isinstance(each, str) else each.get_raw_value() for each in found]


def made(kind: str, mode: str, content: str = "") -> dict[str, str]:
    """A file or folder of root's, as it is found."""
    found = {"kind": kind, "mode": mode, "owner": "root", "group": "root"}
    return found | ({"sha256": sha256(content.encode()).hexdigest()} if kind == "file" else {})


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path / "tree")


@pytest.fixture
def differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that differences are told in."""
    path = tmp_path / "differences"
    monkeypatch.setenv("NEXUS_DIFFERENCES", str(path))
    return path
