"""PPE, whose code was not at hand: accuracy as its paper defines it. Pins that are made here are not `verified`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from sums import sums_of

from support.official_pins import Pin

SETS = {"mmlu": "MMLU-Pro", "math": "MATH", "gpqa": "GPQA", "ifeval": "IFEval", "mbpp": "MBPP-Plus"}


def ppe_preference(pin: Pin, clones: Path) -> dict[str, float]:
    rows = [row for row in (pin.files or {})["rows.jsonl"] if not row["winner"].startswith("tie")]
    right = []
    for row in rows:
        first, second = sums_of(pin, row["question_id"]) or (0, 0)
        right.append(first > second if row["winner"] == "model_a" else second > first)
    return {"": sum(right) / len(right)}


def ppe_correctness(pin: Pin, clones: Path) -> dict[str, float]:
    figures = {}
    for name, rows in (pin.files or {}).items():
        subset = next(subset for part, subset in SETS.items() if part in name.lower())
        right = [found for row in rows for found in _pairs(pin, subset, row)]
        figures[subset] = sum(right) / len(right)
    return {"": sum(figures.values()) / len(figures), **figures}


def _pairs(pin: Pin, subset: str, row: dict[str, Any]) -> list[bool]:
    """One verdict per sampled pair. A pair that is sampled again, or the other way round, has the same votes."""
    found: dict[frozenset[int], dict[int, float]] = defaultdict(dict)
    right = []
    for first, second in row["sampled_conflict_pairs"]:
        pair = frozenset((first, second))
        if pair not in found:
            sums = sums_of(pin, f"{subset}/{row['question_id']}/{row['model_name']}/{first}-{second}") or (0, 0)
            found[pair] = dict(zip((first, second), sums, strict=True))
        better, worse = (first, second) if row["scores"][first] > row["scores"][second] else (second, first)
        right.append(found[pair][better] > found[pair][worse])
    return right
