"""RM-Bench: its `compute_accuracy`, on the rows and votes of a pin or on its published files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from official_code import FOLDERS, names_of, quiet
from sums import sums_of

from support.official_pins import Pin
from support.pseudo_judges import PSEUDO_JUDGES
from support.recorded_outputs import REAL

DOMAINS = ("chat", "code", "math", "safety")
LEVELS = ("easy", "normal", "hard")


class Compared:
    """A chosen response of a judge of pairs: above those rejected ones over which it won."""

    def __init__(self, wins: Sequence[bool]) -> None:
        self.wins = wins

    def __gt__(self, rejected: int) -> bool:
        return self.wins[rejected]


def rm_bench(pin: Pin, clones: Path) -> dict[str, float]:
    names = ("split_dataset_by_domain", "compute_accuracy")
    path = clones / FOLDERS[pin.suite] / "scripts" / "utils.py"
    accuracy = names_of(path, *names, np=np)["compute_accuracy"]
    if pin.data is not None:
        return _of_files(pin, accuracy)
    rows = [row | _scores(pin, row) for row in (pin.files or {})["rows.jsonl"]]
    with quiet():
        figures = _levels(accuracy, [dict(row) for row in rows], "")
        figures |= _parts(accuracy, rows)
    return figures


def _of_files(pin: Pin, accuracy: Callable[..., dict[str, float]]) -> dict[str, float]:
    score = PSEUDO_JUDGES[(pin.data or {})["judge"]]
    rows = []
    for path in (pin.data or {})["files"]:
        for row in json.loads((REAL / path).read_text(encoding="utf-8")):
            scores = {f"score_{name}": [score(text) for text in row[name]] for name in ("chosen", "rejected")}
            rows.append({"domain": Path(path).stem.removesuffix("_filtered"), **scores})
    with quiet():
        return _parts(accuracy, rows)


def _parts(accuracy: Callable[..., dict[str, float]], rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Each domain alone, as the script for one file prints it."""
    figures: dict[str, float] = {}
    for domain in DOMAINS:
        own = [{**row} for row in rows if row["domain"].startswith(domain)]
        for row in own:
            del row["domain"]
        if own:
            figures |= _levels(accuracy, own, domain)
    return figures


def _levels(accuracy: Callable[..., dict[str, float]], rows: list[dict[str, Any]], domain: str) -> dict[str, float]:
    found = {name: float(value) for name, value in accuracy(rows).items()}
    figures = {f"{domain} {level}".strip(): found[f"{level}_acc"] for level in LEVELS}
    return {domain: found.get("total_avg_acc", float(np.mean(list(figures.values())))), **figures}


def _scores(pin: Pin, row: dict[str, Any]) -> dict[str, Any]:
    name = f"{row['domain']}/{row['id']}"
    if not pin.pairs:
        # Nothing is above or below NaN.
        scores = sums_of(pin, name) or [np.nan] * 6
        return {"score_chosen": scores[:3], "score_rejected": scores[3:]}
    pairs = [[sums_of(pin, f"{name}/{chosen}-{rejected}") or [0, 0] for rejected in range(3)] for chosen in range(3)]
    wins = [Compared([first > second for first, second in row]) for row in pairs]
    return {"score_chosen": wins, "score_rejected": list(range(3))}
