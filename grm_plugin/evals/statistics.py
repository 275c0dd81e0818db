"""Bootstrap intervals and ROC-AUC, on numpy arrays with one entry per item.

Resampling gives every item a weight (how often it was drawn), and both accuracy and AUC are sums over weights. So the
draws of all methods come from the same weights: their differences are paired. Memory grows with the items only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2000
"""Bootstrap samples."""

AT_ONCE = 2**19
"""Weights of items that are in memory together, over all bootstrap samples."""

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and what it was in every bootstrap sample."""

    value: float
    draws: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The central 95 % of the draws."""
        low, high = np.quantile(self.draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)


def mean_of(estimates: list[tuple[float, Estimate]]) -> Estimate:
    """A weighted sum of estimates from separate items. Weights sum to 1."""
    value = sum(weight * estimate.value for weight, estimate in estimates)
    draws: Floats = np.sum([weight * estimate.draws for weight, estimate in estimates], axis=0)
    return Estimate(value, draws)


def resample(n: int, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """draws x n weights: how often each of n items was drawn, divided by n."""
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n


def bootstrap_means(values: Floats, rng: np.random.Generator, draws: int = DRAWS) -> list[Estimate]:
    """The mean of every row of `values` (methods x items), with paired draws."""
    n = values.shape[1]
    step = max(1, AT_ONCE // n)
    sizes = [min(step, draws - start) for start in range(0, draws, step)]
    means = np.concatenate([values @ resample(n, rng, size).T for size in sizes], axis=1)
    return [Estimate(float(row.mean()), found) for row, found in zip(values, means, strict=True)]


def shares_below(scores: Floats, others: Floats) -> Floats:
    """What share of the other group each of n items is ranked before (a tie counts half), as a mean over R rounds.

    Sorting finds it without comparing pairs, of which there are too many for memory. Its mean is the ROC-AUC.

    Args:
        scores: R x n; NaN where there is none, which loses every comparison.
        others: R x m, likewise.
    """
    found = np.zeros(scores.shape[1])
    for own, other in zip(scores, others, strict=True):
        ordered = np.sort(other)  # NaN comes last
        below = ordered.searchsorted(own, "left") + ordered.searchsorted(own, "right")
        found += np.where(np.isnan(own), 0.0, below / 2)
    return found / others.size


def bootstrap_aucs(
    positives: Floats, negatives: Floats, rng: np.random.Generator, draws: int = DRAWS
) -> list[Estimate]:
    """ROC-AUC of every method, with paired draws; positives and negatives are resampled apart.

    To first order, as in DeLong et al. (1988): the AUC moves by what the shares of the items drawn differ from it. What
    that leaves out shrinks faster with the number of items than the interval does.

    Args:
        positives: methods x P shares of the negatives that each positive is ranked before (`shares_below`).
        negatives: methods x N shares of the positives that are ranked before each negative.
    """
    ups, downs = bootstrap_means(positives, rng, draws), bootstrap_means(negatives, rng, draws)
    return [
        Estimate(up.value, np.clip(up.draws + down.draws - up.value, 0.0, 1.0))
        for up, down in zip(ups, downs, strict=True)
    ]
