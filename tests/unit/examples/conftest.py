"""What the tests of the examples share."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def shipped() -> Path:
    """Folder of the shipped weights."""
    return ROOT / "examples" / "nano" / "models"
