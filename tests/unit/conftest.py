"""What the unit tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.specimen import Specimen


@pytest.fixture
def specimen(tmp_path: Path) -> Specimen:
    """A small source tree, to spoil."""
    return Specimen(tmp_path)
