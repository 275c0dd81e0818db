"""Runs the official code on the pins, and writes their figures anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from run_judgebench import judgebench
from run_ppe import ppe_correctness, ppe_preference
from run_realmistake import realmistake
from run_rewardbench import rewardbench, rewardbench2
from run_rm_bench import rm_bench
from run_rmb import rmb

from support.official_pins import Pin

RUNS: Mapping[str, Callable[[Pin, Path], dict[str, float]]] = {
    "rewardbench": rewardbench,
    "rewardbench2": rewardbench2,
    "rm-bench": rm_bench,
    "judgebench": judgebench,
    "rmb": rmb,
    "realmistake": realmistake,
    "ppe-preference": ppe_preference,
    "ppe-correctness": ppe_correctness,
}


def renew(path: Path, pin: Pin, clones: Path) -> None:
    """Run the official code on a pin and write its figures, and today, into its file.

    Version and commit are yours to change first: nothing here can tell of which version the clone is.
    """
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    figures = RUNS[pin.suite](pin, clones)
    if figures != content["figures"]:
        content["date"] = date.today().isoformat()
    content["figures"] = figures
    path.write_text(_laid_out(content), encoding="utf-8")


def _laid_out(content: Mapping[str, Any]) -> str:
    """One line per row, per item's votes and per figure, so that a change of a pin can be read."""
    return _lines(content, depth=0) + "\n"


def _lines(value: Any, depth: int) -> str:
    start, end = "\n" + "  " * (depth + 1), "\n" + "  " * depth
    if isinstance(value, dict) and value and depth < 2:
        each = (f"{json.dumps(name)}: {_lines(inner, depth + 1)}" for name, inner in value.items())
        return "{" + start + f",{start}".join(each) + end + "}"
    if (
        isinstance(value, list)
        and depth == 2
        and len(value) > 2
        and isinstance(value[0], dict)
        and "order" not in value[0]
    ):
        return "[" + start + f",{start}".join(map(json.dumps, value)) + end + "]"
    return json.dumps(value)
