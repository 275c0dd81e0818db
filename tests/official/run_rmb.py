"""RMB: the comparison of its script for pairs, and its paper's rule for Best-of-N lists, of which there is no code."""

from __future__ import annotations

import ast
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from official_code import FOLDERS, comparison_of
from sums import Sums, sums_of

from support.official_pins import Pin
from support.pseudo_judges import PSEUDO_JUDGES
from support.recorded_outputs import REAL

KINDS = {"BoN_set": "BoN", "Pairwise_set": "pairwise"}
COLUMNS = 4
"""Pairs and lists, each for helpfulness and harmlessness. Without one of them there is no overall figure."""


def rmb(pin: Pin, clones: Path) -> dict[str, float]:
    script = clones / FOLDERS[pin.suite] / "eval" / "scripts" / "my_run_rm.py"
    results = defaultdict(list)
    for row, scores in _judged(pin):
        kind, goal, *_ = row["category_path"].split("/")
        best, *losers = scores or [np.nan, np.nan]
        beaten = comparison_of(script, [best] * len(losers), losers)
        results[f"{goal} {KINDS[kind]}"].append(float(all(beaten)))
    figures = {part: float(np.mean(found)) for part, found in results.items()}
    if len(figures) < COLUMNS:
        return figures
    return {"": float(np.mean(list(figures.values()))), **figures}


def _judged(pin: Pin) -> list[tuple[dict[str, Any], Sums]]:
    if pin.data is None:
        rows = [row for each in (pin.files or {}).values() for row in each]
        return [(row, sums_of(pin, f"{row['category_path']}/{row.get('bon_uid') or row['pair_uid']}")) for row in rows]
    score = PSEUDO_JUDGES[pin.data["judge"]]
    rows = [row for path in pin.data["files"] for row in json.loads((REAL / path).read_text(encoding="utf-8"))]
    return [(row, [score(text) for text in _answers(row)]) for row in rows]


def _answers(row: dict[str, Any]) -> list[str]:
    texts = [row["bon_best"], *_read(row["loser_list"])] if "bon_uid" in row else [row["chosen"], row["reject"]]
    return [_read(answer)["answer"] for answer in texts]


def _read(value: Any) -> Any:
    return ast.literal_eval(value) if isinstance(value, str) else value
