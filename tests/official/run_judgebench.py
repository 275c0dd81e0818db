"""JudgeBench: its `compute_final_metrics`, on the rows and votes of a pin or on published judgements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from official_code import FOLDERS, names_of
from sums import Sums, summed

from support.official_pins import Pin
from support.recorded_outputs import REAL

CATEGORIES = {
    "mmlu-pro": "Knowledge",
    "livebench-reasoning": "Reasoning",
    "livebench-math": "Math",
    "livecodebench": "Coding",
}


def judgebench(pin: Pin, clones: Path) -> dict[str, float]:
    path = clones / FOLDERS[pin.suite] / "utils" / "metrics.py"
    types = {"List": list, "Dict": dict, "Any": Any}
    metric = names_of(path, "flip_judgment", "compute_final_metrics", **types)["compute_final_metrics"]
    if pin.data is not None:
        text = (REAL / pin.data["recorded"]).read_text(encoding="utf-8")
        pairs = [json.loads(line) for line in text.splitlines()]
    else:
        pairs = [row | {"judgments": _games(pin, row)} for row in (pin.files or {})["rows.jsonl"]]
    two = len(pairs[0]["judgments"]) == 2
    figures = {"": metric(pairs, two) / 100}
    for model in sorted({pair["response_model"] for pair in pairs}):
        own = [pair for pair in pairs if pair["response_model"] == model]
        figures[model] = metric(own, two) / 100
        for start, category in CATEGORIES.items():
            if any(pair["source"].startswith(start) for pair in own):
                chosen = metric(own, two, include_fn=lambda pair, start=start: pair["source"].startswith(start))
                figures[f"{model}/{category}"] = chosen / 100
    return figures


def _games(pin: Pin, row: dict[str, Any]) -> list[dict[str, Any]]:
    """One game per order in which the judge was asked; a scalar model is asked in both."""
    votes = (pin.votes or {})[f"{row['response_model']}/{row['pair_id']}"]
    if pin.judge == "scalar":
        [scores] = [vote["scores"] for vote in votes]
        return [{"decision": "A>B" if first > second else "B>A"} for first, second in (scores, scores[::-1])]
    orders = [[0, 1], [1, 0]]
    asked = [[vote for vote in votes if vote["order"] == order] for order in orders]
    return [{"decision": _decision(summed(given), order)} for order, given in zip(orders, asked, strict=True) if given]


def _decision(scores: Sums, order: Sequence[int]) -> str | None:
    if scores is None:
        return None
    first, second = (scores[index] for index in order)
    return "A>B" if first > second else "B>A" if first < second else "A=B"
