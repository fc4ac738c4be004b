"""The action plugin that hands the module what a role declares."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.errors import UsageError
from deploy.rendering import Renderer
from deploy.specs import ROOT
from tests.unit.test_rendering import Fixed

HOST_YML = """
accounts: [{name: app}]
files: {main: [{path: /etc/app, state: directory}], site: [{path: /etc/site, state: absent}]}
units: {main: [{name: app.service}]}
renewals: {main: [{pending: app, reload: app.service}], other: [{pending: other, reload: app.service}]}
"""


@pytest.fixture
def renderer(tmp_path: Path) -> Renderer:
    (tmp_path / "roles/app/meta").mkdir(parents=True)
    (tmp_path / "roles/app/meta/host.yml").write_text(HOST_YML)
    return Renderer(Fixed(), "one", root=tmp_path)


@pytest.fixture(scope="module")
def declared() -> Callable[..., dict[str, Any]]:
    spec = importlib.util.spec_from_file_location("managed_host_action", ROOT / "plugins/action/managed_host.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., dict[str, Any]] = module.declared
    return found


@pytest.mark.parametrize(("named", "meant"), [
    ({"accounts": True}, {"accounts": ["app"]}),
    ({"files": "site"}, {"files": ["/etc/site"]}),
    ({"files": "main", "units": "main"}, {"files": ["/etc/app"], "units": ["app.service"], "renewals": ["app"]}),
    ({"units": "other"}, {"renewals": ["other"]}),
])  # fmt: skip
def test_what_is_named_is_meant_and_nothing_else(
    declared: Callable[..., dict[str, Any]], renderer: Renderer, named: dict[str, Any], meant: dict[str, list[str]]
) -> None:
    keys = {"accounts": "name", "files": "path", "units": "name", "renewals": "pending"}
    found = declared(renderer, "app", **named)
    assert {name: [entry[keys[name]] for entry in entries] for name, entries in found.items() if entries} == meant


@pytest.mark.parametrize("named", [{}, {"files": "mian"}, {"units": "mian"}])
def test_naming_nothing_or_what_is_not_there_is_an_error(
    declared: Callable[..., dict[str, Any]], renderer: Renderer, named: dict[str, str]
) -> None:
    with pytest.raises(UsageError, match="app"):
        declared(renderer, "app", **named)
