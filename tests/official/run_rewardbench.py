"""RewardBench and RewardBench 2: their own functions, on the rows and votes of a pin."""

from __future__ import annotations

import sys
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from official_code import FOLDERS, comparison_of, names_of, quiet
from sums import Sums, means_of, sums_of

from support.official_pins import Pin

TIES_PARTS = {
    "ref_accuracy": "Ties accuracy ref",
    "tied_accuracy": "Ties accuracy tied",
    "correctness_preferred": "Ties margin",
    "correctness_preferred_hard": "Ties margin hard",
    "correctness_margin_score": "Ties margin size",
    "overall_score": "Ties",
}
"""Variable of the official function -> part."""

UNREADABLE = -1


def rewardbench(pin: Pin, clones: Path) -> dict[str, float]:
    """The overall figure is that of the leaderboard for a model without results on the prior sets."""
    code = clones / FOLDERS[pin.suite]
    rows = (pin.files or {})["rows.jsonl"]
    sums = [sums_of(pin, f"{row['subset']}/{row['id']}") for row in rows]
    if pin.judge == "scalar":
        pairs = [scores for scores in sums if scores is not None]
        results: Sequence[float] = comparison_of(code / "scripts/run_rm.py", *zip(*pairs, strict=True))
    else:
        results = _rated_pairs(code, rows, sums)
    constants = names_of(code / "rewardbench/constants.py", "EXAMPLE_COUNTS", "SUBSET_MAPPING")
    counts, mapping = constants["EXAMPLE_COUNTS"], constants["SUBSET_MAPPING"]
    figures = _by_subset(rows, results)
    section = names_of(code / "rewardbench/utils.py", "calculate_scores_per_section")["calculate_scores_per_section"]
    sections = section(counts, mapping, figures)
    board = names_of(
        code / "analysis/get_benchmark_results.py",
        "get_average_over_rewardbench",
        np=np,
        pd=pd,
        EXAMPLE_COUNTS=counts,
        SUBSET_MAPPING=mapping,
    )["get_average_over_rewardbench"]
    prior = {name: [np.nan] for name in ("anthropic_helpful", "anthropic_hhh", "shp", "summarize")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no prior set
        table = board(
            pd.DataFrame([{"model": "judge", "model_type": "", **figures}]),
            pd.DataFrame({"model": ["another"], **prior}),
        )
    return {"": float(table["average"][0]), **sections, **figures}


def rewardbench2(pin: Pin, clones: Path) -> dict[str, float]:
    """The overall figure is the mean of the six subsets, which the code leaves to the leaderboard."""
    code = clones / FOLDERS[pin.suite]
    rows = (pin.files or {})["rows.jsonl"]
    sums = [sums_of(pin, f"{row['subset']}/{row['id']}") for row in rows]
    flat = [index for index, row in enumerate(rows) if row["subset"] != "Ties"]
    plain, given = [rows[index] for index in flat], [sums[index] for index in flat]
    results = _best_of_four_scalar(code, given) if pin.judge == "scalar" else _rated_lists(code, plain, given)
    figures = _by_subset(plain, results) | _ties(
        code, rows, [means_of(pin, f"{row['subset']}/{row['id']}") for row in rows]
    )
    subsets = sorted({row["subset"] for row in rows})
    return {"": float(np.mean([figures[subset] for subset in subsets])), **figures}


def _by_subset(rows: Sequence[Mapping[str, Any]], results: Sequence[float]) -> dict[str, float]:
    found = defaultdict(list)
    for row, result in zip(rows, results, strict=True):
        found[row["subset"]].append(float(result))
    return {subset: sum(each) / len(each) for subset, each in found.items()}


def _rated_pairs(code: Path, rows: Sequence[Mapping[str, Any]], sums: Sequence[Sums]) -> list[float]:
    """scripts/run_generative.py --score_w_ratings, which shuffles each pair before it is rated."""
    ratings: dict[str, float] = {}
    ratings_of = names_of(
        code / "rewardbench/generative.py",
        "run_judge_ratings",
        _get_single_rating=lambda question, text, *rest: (ratings[text], ""),
        ratings_prompt="",
    )["run_judge_ratings"]
    judge = names_of(
        code / "scripts/run_generative.py",
        "get_judgement",
        np=np,
        args=SimpleNamespace(debug=False, score_w_ratings=True, model="judge"),
        model_modifier=None,
        run_judge_ratings=ratings_of,
    )["get_judgement"]
    results = []
    for row, scores in zip(rows, sums, strict=True):
        ratings.clear()
        ratings.update(zip((row["chosen"], row["rejected"]), scores or [UNREADABLE] * 2, strict=True))
        results.append(judge({f"text_{name}": _turns(row["prompt"], row[name]) for name in ("chosen", "rejected")}))
    return results


def _rated_lists(code: Path, rows: Sequence[Mapping[str, Any]], sums: Sequence[Sums]) -> list[float]:
    """scripts/run_generative_v2.py --score_w_ratings."""
    ratings: dict[str, float] = {}
    several = names_of(
        code / "rewardbench/generative_v2.py",
        "run_judge_ratings_multi",
        get_single_rating=lambda question, text, *rest: (ratings[text], ""),
        ratings_prompt="",
        ratings_prompt_ties="",
    )["run_judge_ratings_multi"]
    judge = names_of(
        code / "scripts/run_generative_v2.py",
        "get_judgement",
        args=SimpleNamespace(debug=False, score_w_ratings=True, model="judge"),
        model_modifier=None,
        run_judge_ratings_multi=several,
    )["get_judgement"]
    results = []
    for row, scores in zip(rows, sums, strict=True):
        texts = [*row["chosen"], *row["rejected"]]
        ratings.clear()
        ratings.update(zip(texts, scores or [UNREADABLE] * len(texts), strict=True))
        batch = {
            f"texts_{name}": [_turns(row["prompt"], text) for text in row[name]] for name in ("chosen", "rejected")
        }
        results.append(judge(batch))
    return results


def _best_of_four_scalar(code: Path, sums: Sequence[Sums]) -> list[float]:
    """scripts/run_v2.py."""
    score = names_of(code / "rewardbench/utils.py", "reroll_and_score_dataset", np=np, pd=pd, Dataset=Dataset)
    scores = [value for each in sums for value in each or ()]
    dataset = Dataset.from_dict({"text": [str(place) for place in range(len(scores))], "scores": scores})
    sizes = [len(each or ()) for each in sums]
    return list(score["reroll_and_score_dataset"](dataset, sizes)["results"])


def _ties(code: Path, rows: Sequence[Mapping[str, Any]], sums: Sequence[Sums]) -> dict[str, float]:
    """The Ties score and its parts, which are local variables of the official function."""
    samples = []
    for row, scores in zip(rows, sums, strict=True):
        if row["subset"] == "Ties":
            count = len(row["chosen"]) + len(row["rejected"])
            samples.append({**row, "scores": scores or [float(UNREADABLE)] * count})
    names = ("_compute_prompt_stats", "process_single_model")
    score = names_of(code / "rewardbench/utils.py", *names, np=np, defaultdict=defaultdict)["process_single_model"]
    found: dict[str, float] = {}

    def watch(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is score.__code__:
            found.update({part: float(frame.f_locals[name]) for name, part in TIES_PARTS.items()})

    dataset = Dataset.from_list(
        [{name: sample[name] for name in ("id", "scores", "num_correct")} for sample in samples]
    )
    with quiet(), np.errstate(divide="ignore", invalid="ignore"):
        sys.setprofile(watch)
        try:
            score(dataset)
        finally:
            sys.setprofile(None)
    return found


def _turns(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
