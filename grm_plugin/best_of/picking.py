"""How often the sample that is picked from k random ones of a problem is right, for each way to pick.

The k samples are drawn from the N stored ones without replacement, and the figure is the mean over all such draws. By
score it has a closed form. A vote over answers has none: all draws are looked at where there are few, else some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALL_DRAWS = 2_000
"""Up to so many draws all of them are looked at, and the figure is exact."""

SOME_DRAWS, FEWEST_DRAWS = 1_000, 100
"""Else so many random ones are; fewer of very many samples, but no fewer than the paper took."""

AT_ONCE = 1_000_000
"""Samples in all draws together that are in memory at once."""


def by_score(scores: Sequence[float | None], right: Sequence[bool], k: int) -> float:
    """The chance that the best of k samples by score is right. Exact.

    Sorted by score, rank r is the best of k with probability C(N - r, k - 1) / C(N, k). Samples with equal scores are
    equally likely to be picked. Those without a score are picked where nothing else was drawn.

    Args:
        scores: per sample, higher is better; None where there is none.
        right: per sample, whether it is right.
        k: 1..N.
    """
    values = np.array([-math.inf if score is None else score for score in scores], dtype=float)
    order = np.argsort(-values, kind="stable")
    truth = np.asarray(right, dtype=float)[order]
    _, block = np.unique(-values[order], return_inverse=True)
    truth = (np.bincount(block, truth) / np.bincount(block))[block]  # what a random one of its equals is worth
    return float(truth @ _chances(len(scores), k))


def by_vote(
    answers: Sequence[str | None], weights: Sequence[float], right: Sequence[bool], k: int, seed: Sequence[int]
) -> tuple[float, bool]:
    """The chance that the answer with the most weight among k samples is right, and whether that is exact.

    Answers that are level share the chance. A sample without an answer has no vote; where none has one, any is picked.

    Args:
        answers: per sample; None where there is none.
        weights: per sample, >= 0; all 1 for a majority.
        right: per sample.
        k: 1..N.
        seed: of the draws where not all are looked at.
    """
    drawn, exact = _draws(len(answers), k, seed)
    truth, weight = np.asarray(right, dtype=float), np.asarray(weights, dtype=float)
    names = {name: number for number, name in enumerate(dict.fromkeys(it for it in answers if it is not None))}
    none = len(names)  # a column for those without an answer, which is cut off
    column = np.array([none if answer is None else names[answer] for answer in answers])
    cells = column[drawn] + (none + 1) * np.arange(len(drawn))[:, None]

    def table(values: Floats | None = None) -> Floats:
        """Sums over the samples of each answer in each draw."""
        given = None if values is None else values[drawn].ravel()
        sums = np.bincount(cells.ravel(), given, len(drawn) * (none + 1)).reshape(len(drawn), none + 1)[:, :none]
        return sums.astype(np.float64)

    picked = truth[drawn].mean(axis=1)
    if names:
        counts, votes = table(), table(weight)
        shares = np.divide(table(truth), counts, out=np.zeros_like(counts), where=counts > 0)
        best = (counts > 0) & (votes >= np.where(counts > 0, votes, -1.0).max(axis=1, keepdims=True) - 1e-9)
        level = best.sum(axis=1)
        picked = np.where(level > 0, (shares * best).sum(axis=1) / np.maximum(level, 1), picked)
    return float(picked.mean()), exact


def shifted(scores: Sequence[float | None]) -> list[float]:
    """Scores as the weights of votes: none below 0, and 0 where there is no score.

    Logits of a reward model may be negative; summed up, they would punish an answer for being given often. So the
    lowest score of a problem with one below 0 counts 0, and the others by how much they are above it.
    """
    known = [score for score in scores if score is not None]
    low = min(0.0, *known) if known else 0.0
    return [0.0 if score is None else score - low for score in scores]


@lru_cache
def _chances(n: int, k: int) -> Floats:
    """Per rank, from the first: the chance that it is the best of k of n."""
    chances = np.zeros(n)
    chances[0] = k / n
    for rank in range(1, n - k + 1):
        chances[rank] = chances[rank - 1] * (n - rank - k + 1) / (n - rank)
    return chances


def _draws(n: int, k: int, seed: Sequence[int]) -> tuple[NDArray[np.int64], bool]:
    """Draws of k of n samples, one per row; and whether these are all."""
    if math.comb(n, k) <= ALL_DRAWS:
        return np.array([*combinations(range(n), k)], dtype=np.int64), True
    rng = np.random.default_rng([*seed, n, k])
    number = max(FEWEST_DRAWS, min(SOME_DRAWS, AT_ONCE // n))
    return rng.random((number, n)).argpartition(k - 1, axis=1)[:, :k].astype(np.int64), False
