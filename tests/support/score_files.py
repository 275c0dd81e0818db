"""Inputs and outputs of `grm-plugin score`, shared by its tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOOD = {"prompt": "Name three fruits.", "responses": ["plum, fig, pear and many more of that kind", "cats"]}


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"id": f"g{index}", "prompt": f"Question {index}?", "responses": ["yes", "no"]} for index in range(count)]
