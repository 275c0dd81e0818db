"""The figures of the paper's tables (arXiv 2504.02495 v3), from paper_tables.json, to print beside measured ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

GRM = "DeepSeek-GRM-27B"
"""The paper's main model, trained with RFT and RL."""

OVERALL = "Overall"
"""Name of the column that is the mean over the four benchmarks."""


@cache
def load() -> Mapping[str, Any]:
    """The file's content: `source`, `unit`, and `rows` with `model`, `method` and percentages by column."""
    text = resources.files("grm_plugin.evals.reports").joinpath("paper_tables.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def published(column: str, method: str, model: str = GRM) -> float | None:
    """A figure of the paper in percent; None where the paper has none.

    Args:
        column: a benchmark, `RB`, `PPE-P`, `PPE-C`, `RMB`, `Overall` or `ReaLMistake`.
        method: `greedy`, `@1`, `@8`, `@32`, `meta@8`, `meta@32`; `scalar` for scalar reward models.
        model: its name in the file.
    """
    for row in load()["rows"]:
        if row["model"] == model and row["method"] == method and column in row:
            return float(row[column])
    return None


def of_other_models(column: str) -> list[tuple[str, str, float]]:
    """Model, method and figure of every row of a column that is not of the paper's main model."""
    rows = [row for row in load()["rows"] if column in row and row["model"] != GRM]
    return [(row["model"], row["method"], float(row[column])) for row in rows]
