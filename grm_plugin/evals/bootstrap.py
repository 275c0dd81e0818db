"""Bootstrap intervals of accuracy and ROC-AUC, on numpy arrays with one entry per item.

A bootstrap sample is a weight per item: how often the item was drawn. Accuracy and AUC are both sums over these
weights, and all methods are computed with the same weights, so that their differences are paired. Memory grows with the
number of items, not of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 2000
"""Number of bootstrap samples."""

WEIGHTS_AT_ONCE = 2**19
"""At most this many weights are in memory at once, over all bootstrap samples."""

LEVEL = 0.95
"""Coverage of the intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure, and its value in every bootstrap sample (`draws`)."""

    value: float
    draws: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The central 95 % of the draws."""
        low, high = np.quantile(self.draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.draws - other.draws)


def weighted_sum(estimates: list[tuple[float, Estimate]]) -> Estimate:
    """The sum of (weight, estimate) pairs. The estimates must be on different items, and the weights sum to 1."""
    value = sum(weight * estimate.value for weight, estimate in estimates)
    draws: Floats = np.sum([weight * estimate.draws for weight, estimate in estimates], axis=0)
    return Estimate(value, draws)


def sample_weights(n: int, rng: np.random.Generator, draws: int = DRAWS) -> Floats:
    """draws x n weights: how often each of n items was drawn, divided by n."""
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n


def bootstrap_means(values: Floats, rng: np.random.Generator, draws: int = DRAWS) -> list[Estimate]:
    """The mean of each row of `values` (methods x items), with the same bootstrap samples for all rows."""
    n = values.shape[1]
    step = max(1, WEIGHTS_AT_ONCE // n)
    sizes = [min(step, draws - start) for start in range(0, draws, step)]
    means = np.concatenate([values @ sample_weights(n, rng, size).T for size in sizes], axis=1)
    return [Estimate(float(row.mean()), found) for row, found in zip(values, means, strict=True)]


def shares_ranked_below(scores: Floats, others: Floats) -> Floats:
    """For each of n items, the share of the other items that have a lower score; a tie counts half.

    The shares are means over R rounds, and their mean over the items is the ROC-AUC. They are found by sorting: the
    pairs of items are too many for memory.

    Args:
        scores: R x n scores of the items; NaN where an item has no score, which loses every comparison.
        others: R x m scores of the other items, NaN likewise.
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
    """ROC-AUC of every method, with the same bootstrap samples for all; positives and negatives are sampled separately.

    This is the first-order approximation of DeLong et al. (1988): the AUC of a sample is the mean share of the sampled
    positives plus that of the sampled negatives, minus the AUC. Its error shrinks faster with the number of items than
    the interval does.

    Args:
        positives: methods x P, for each positive the share of negatives ranked below it (`shares_ranked_below`).
        negatives: methods x N, for each negative the share of positives ranked above it.
    """
    ups, downs = bootstrap_means(positives, rng, draws), bootstrap_means(negatives, rng, draws)
    return [
        Estimate(up.value, np.clip(up.draws + down.draws - up.value, 0.0, 1.0))
        for up, down in zip(ups, downs, strict=True)
    ]
