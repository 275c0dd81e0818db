"""Criteria: what the scores of one critique for each of them come to, as one score of each response.

Rubrics as rewards (arXiv 2507.17746): the weighted mean, of which penalties are taken off (as in HealthBench, arXiv
2505.08775, the sum of points over that of all positive ones, kept inside the scale), and which a must decides alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from grm_plugin.judging.normalize import from_unit_interval, to_unit_interval
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Criterion

MIDDLE = (MIN_SCORE + MAX_SCORE) / 2
"""A must that scores below this is not fulfilled."""


def combined(criteria: Sequence[Criterion], scores: Sequence[float | None]) -> float | None:
    """The score (1..10) of one response whose criteria have these scores (1..10, higher is better).

    A criterion without a score (None) costs itself: the others are weighed without it.

    Returns:
        None where nothing has a score that the mean could be made of: no scale or yes_no with a weight, or, where there
        is none of these, no penalty, or else no must. Fulfilled musts and absent faults say nothing of how good a
        response is by what was lost. A must that is not fulfilled decides all the same.
    """
    share, total, taken_off, faults = 0.0, 0.0, 0.0, 0.0
    asked, faults_asked, found = 0.0, 0.0, False
    for criterion, score in zip(criteria, scores, strict=True):
        if criterion.kind == "penalty":
            faults_asked += criterion.weight
        elif criterion.kind != "must":
            asked += criterion.weight
        if score is None:
            continue
        unit = to_unit_interval(score)
        if criterion.kind == "must":
            found = True
            if score < MIDDLE:
                return float(MIN_SCORE)
        elif criterion.kind == "penalty":
            faults += criterion.weight
            taken_off += criterion.weight * (1 - unit)
        else:
            total += criterion.weight
            share += criterion.weight * unit
    if total:
        unit = max(0.0, min(1.0, (share - taken_off) / total))
    elif asked:
        return None
    elif faults:
        unit = 1 - taken_off / faults
    elif found and not faults_asked:
        unit = 1.0
    else:
        return None
    return from_unit_interval(unit)


def scores_by(
    criteria: Sequence[Criterion], by_criterion: Sequence[Sequence[float] | None], n: int
) -> tuple[float, ...] | None:
    """The scores of n responses, from `by_criterion[c][i]` of criterion c and response i; None where there are none."""
    scores = [combined(criteria, [None if row is None else row[index] for row in by_criterion]) for index in range(n)]
    found = tuple(score for score in scores if score is not None)
    return found if len(found) == n else None
