"""Puts pydantic's errors into one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def explain(errors: Sequence[Mapping[str, Any]], where: str = "") -> str:
    """The errors in one line, each with its field; `where` stands before it."""
    return "; ".join(f"{where}{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in errors)
