"""The examples are run from a checkout and are not installed: put the checkout's root on the path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def shipped() -> Path:
    """Folder of the shipped weights."""
    return ROOT / "examples" / "nano" / "models"
