"""What the tests of the examples share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def shipped() -> Path:
    """Folder of the shipped weights."""
    return ROOT / "examples" / "nano" / "models"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine OpenMP threads wait for each other far longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
