"""ReaLMistake: its `get_performance` and averages, on the rows and votes of a pin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from official_code import FOLDERS, names_of

from grm_plugin._util.digests import digest
from support.official_pins import Pin

MIDDLE = 5.5
METRICS = ("accuracy", "precision", "recall", "f1")


def realmistake(pin: Pin, clones: Path) -> dict[str, float]:
    path = clones / FOLDERS[pin.suite] / "src" / "error_detection_analysis" / "calculate_performance.py"
    code = names_of(
        path,
        "get_performance",
        "get_average_of_list_of_dict",
        np=np,
        precision_recall_fscore_support=precision_recall_f1,
        confusion_matrix=confusion,
    )
    figures, sets = {}, []
    for name, rows in (pin.files or {}).items():
        predictions = [{"metadata": row["metadata"], "prediction": _prediction(pin, name, row)} for row in rows]
        metrics = code["get_performance"](rows, predictions)["metrics"]
        sets.append({metric: float(metrics[metric]) for metric in METRICS})
        figures |= {f"{name.removesuffix('.jsonl')} {metric}": value for metric, value in sets[-1].items()}
    averages = code["get_average_of_list_of_dict"](sets)
    return {metric: averages[metric]["average"] for metric in METRICS} | figures


def precision_recall_f1(
    true: Sequence[int], predicted: Sequence[int], average: str, zero_division: int
) -> tuple[float, float, float, None]:
    """Stands for the function of scikit-learn that the official code calls, for two classes, of which 1 is the positive
    one. With it the official code gives the figures that its authors published for their recorded judges.
    """
    if average != "binary" or zero_division != 0:
        raise ValueError("the official code asks for something else now: compute it with scikit-learn")
    (_, false_alarms), (missed, found) = confusion(true, predicted, (0, 1)).tolist()
    precision = found / (found + false_alarms) if found + false_alarms else 0.0
    recall = found / (found + missed) if found + missed else 0.0
    return (
        precision,
        recall,
        2 * found / (2 * found + missed + false_alarms) if found + missed + false_alarms else 0.0,
        None,
    )


def confusion(true: Sequence[int], predicted: Sequence[int], labels: Sequence[int]) -> np.ndarray[Any, Any]:
    """Rows: the true label; columns: the predicted one."""
    pairs = list(zip(true, predicted, strict=True))
    return np.array([[pairs.count((row, column)) for column in labels] for row in labels])


def _prediction(pin: Pin, name: str, row: dict[str, Any]) -> str | None:
    task = name.partition("/")[0]
    votes = (pin.votes or {})[f"{task}/{digest([row['input'], row['llm_response']])}"]
    scores = [vote["scores"][0] for vote in votes if vote["scores"] is not None]
    if not scores:
        return None
    return "error" if float(np.mean(scores)) < MIDDLE else "no_error"
