"""Preference Proxy Evaluations (Frick et al., arXiv 2410.14872): human preferences, and verifiable correctness.

Written from the published schemas and from public code that reads these columns; not checked against the files, of
which no copy was at hand.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from grm_plugin.batch.items import Item
from grm_plugin.conversation.chat_turns import exchange_of
from grm_plugin.errors import WireError
from grm_plugin.evals.benchmarks.rows import BenchmarkRow

CORRECTNESS = {"mmlu": "MMLU-Pro", "math": "MATH", "gpqa": "GPQA", "ifeval": "IFEval", "mbpp": "MBPP-Plus"}
"""What the name of a file or data set contains -> subset."""

TIES = "ties of the human judges"
EQUAL = "pairs of two right or two wrong answers"

_WINNERS = {"model_a": 0, "model_1": 0, "model_b": 1, "model_2": 1}


def ppe_preference(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """PPE-Preference. Columns: question_id, prompt, response_1, response_2, winner (model_a, model_b, or a tie).

    Ties are left out: accuracy is over the pairs that people could decide.
    """
    row.need("question_id", "prompt", "response_1", "response_2", "winner")
    winner = str(row.values["winner"])
    if winner.startswith("tie"):
        left_out[TIES] += 1
        return
    if winner not in _WINNERS:
        raise WireError(f"winner {winner!r} is none of {', '.join(_WINNERS)} and tie")
    responses = [row.values["response_1"], row.values["response_2"]]
    conversation, texts = exchange_of(row.values["prompt"], responses)
    yield Item(
        str(row.values["question_id"]),
        conversation,
        texts,
        best=(_WINNERS[winner],),
        meta={"language": str(row.values.get("language", ""))},
    )


def ppe_correctness(row: BenchmarkRow, left_out: Counter[str]) -> Iterator[Item]:
    """PPE-Correctness, its pairs for LLM judges: one item per pair of `sampled_conflict_pairs`.

    A pair that stands there several times, in either direction, is judged once; `meta["times"]` says how often the
    official figure counts it.

    Columns: question_id, prompt, response_1 .. response_32, scores (right or wrong, per response),
    sampled_conflict_pairs (indices from 0). The name of the file, folder or data set says which of the five sets a row
    belongs to.
    """
    row.need("question_id", "prompt", "response_1", "scores", "sampled_conflict_pairs")
    subset = _subset(row)
    model = str(row.values.get("model_name", ""))
    name = "/".join(filter(None, (subset, str(row.values["question_id"]), model)))
    pairs = list(_pairs(row))
    times = Counter(map(frozenset, pairs))
    for first, second in pairs:
        count = times.pop(frozenset((first, second)), 0)
        if not count:  # it was there before
            continue
        scores = row.values["scores"][first], row.values["scores"][second]
        if not all(isinstance(score, int | float) and math.isfinite(score) for score in scores):
            raise WireError(f"scores: {scores[0]!r} and {scores[1]!r} of pair {first}, {second} are not two numbers")
        if scores[0] == scores[1]:
            left_out[EQUAL] += count
            continue
        responses = [_response(row, first), _response(row, second)]
        conversation, texts = exchange_of(row.values["prompt"], responses)
        best = 0 if scores[0] > scores[1] else 1
        meta = {"times": count} if count > 1 else {}
        yield Item(f"{name}/{first}-{second}", conversation, texts, best=(best,), subset=subset, meta=meta)


def _subset(row: BenchmarkRow) -> str:
    for part in reversed(re.split(r"[/\\]", row.source.lower())):
        for name, subset in CORRECTNESS.items():
            if name in part:
                return subset
    raise WireError(
        f"which of PPE's sets is this? Put one of {', '.join(CORRECTNESS.values())} into the name of the "
        "file or its folder"
    )


def _pairs(row: BenchmarkRow) -> Iterator[tuple[int, int]]:
    count = len(_list(row, "scores"))
    for pair in _list(row, "sampled_conflict_pairs"):
        indices = pair if isinstance(pair, list) else []
        if len(indices) != 2 or not all(type(index) is int and 0 <= index < count for index in indices):
            raise WireError(f"sampled_conflict_pairs: {pair} are not two indices of {count} scores")
        yield indices[0], indices[1]


def _list(row: BenchmarkRow, column: str) -> list[Any]:
    value = row.values[column]
    if not isinstance(value, list):
        raise WireError(f"{column} must be a list, not {type(value).__name__}")
    return value


def _response(row: BenchmarkRow, index: int) -> Any:
    row.need(f"response_{index + 1}")
    return row.values[f"response_{index + 1}"]
