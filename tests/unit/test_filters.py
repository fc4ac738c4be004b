"""The filters that are not the resolver's: plain functions of text."""

from __future__ import annotations

import base64
import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from deploy.specs import ROOT


@pytest.fixture(scope="module")
def nexus() -> ModuleType:
    """plugins/filter/nexus.py, as Ansible loads it."""
    loader = SourceFileLoader("nexus_filters", str(ROOT / "plugins/filter/nexus.py"))
    spec = importlib.util.spec_from_loader("nexus_filters", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_a_password_is_hashed_as_rabbitmq_does_it(nexus: ModuleType) -> None:
    """Password, salt and outcome of the example in rabbitmq.com/docs/passwords."""
    assert nexus._salted("test12", bytes.fromhex("908DC60A")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_a_password_is_hashed_the_same_each_time_and_differently_with_another_seed(nexus: ModuleType) -> None:
    once, again, other = (nexus.rabbitmq_hash("a", seed) for seed in ("host", "host", "another"))
    assert once == again
    assert once != other
    assert base64.b64decode(once)[:4] != base64.b64decode(other)[:4]
    assert len(base64.b64decode(once)) == 4 + 32
    assert nexus.rabbitmq_hash("b", "host") != once


def test_files_become_entries_by_name_with_their_whole_content(nexus: ModuleType, tmp_path: Path) -> None:
    for name, text in {"b.py": "two\n\n", "a.py": ""}.items():
        (tmp_path / name).write_text(text)
    assert nexus.files_into([str(tmp_path / "b.py"), str(tmp_path / "a.py")], "/usr/local/lib/it") == [
        {"path": "/usr/local/lib/it/a.py", "content": ""},
        {"path": "/usr/local/lib/it/b.py", "content": "two\n\n"},
    ]
