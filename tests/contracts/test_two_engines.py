"""What a stateless role declares reaches hosts by both engines: no set that one of them forgets."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from deploy.host_declarations import declared
from deploy.specs import ROOT, STATELESS

MODULES = ROOT / "deploy/provision"


def by_ansible() -> Iterator[tuple[str, str, str]]:
    """(role, kind, set) of every call in the roles' tasks."""
    for path in ROOT.glob("roles/*/tasks/*.yml"):
        for task in yaml.safe_load(path.read_text()) or []:
            call: dict[str, Any] = task.get("managed_host") or {}
            if "role" in call:
                yield from ((call["role"], kind, str(call[kind])) for kind in ("files", "units") if kind in call)
                yield from ([(call["role"], "accounts", "")] if call.get("accounts") else [])


def by_pyinfra() -> Iterator[tuple[str, str, str]]:
    """The same of the operations in deploy/provision/."""
    for path in MODULES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                words = {each.arg: each.value.value for each in node.keywords if isinstance(each.value, ast.Constant)}
                kind, role = node.func.attr, words.get("role")
                if isinstance(role, str) and kind in ("files", "units", "accounts"):
                    yield role, kind, "" if kind == "accounts" else str(words.get("set_name", "main"))


@pytest.mark.parametrize("role", STATELESS)
def test_both_engines_carry_out_everything_that_a_role_declares_and_nothing_else(role: str) -> None:
    found = declared(role)
    wanted = {("files", name) for name in found.files} | {("units", name) for name in {**found.units, **found.renewals}}
    wanted |= {("accounts", "")} if found.accounts else set()
    for engine in (by_ansible, by_pyinfra):
        assert {(kind, name) for whose, kind, name in engine() if whose == role} == wanted, engine.__doc__


@pytest.mark.parametrize("role", STATELESS)
def test_every_stateless_role_has_a_module_of_its_name_that_the_site_runs(role: str) -> None:
    functions = [
        node.name for node in ast.parse((MODULES / f"{role}.py").read_text()).body if isinstance(node, ast.FunctionDef)
    ]
    assert role in functions
    assert f'if "{role}" in roles:\n    {role}()\n' in (MODULES / "site.py").read_text()
