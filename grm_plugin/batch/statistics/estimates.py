"""Figures with what is uncertain about them: intervals, paired differences, and a correction for many comparisons.

A figure comes with its value in every bootstrap sample (`batch.statistics.bootstrap`). From these only the standard
error and the correlations are taken; the shape of an interval is that of a score interval, because quantiles of
bootstrap samples are far too narrow where a figure is close to 0 or 1, or where there are few items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from grm_plugin.batch.statistics.basis import Basis, Floats, mixed, side_by_side
from grm_plugin.batch.statistics.clusters import FEWEST_ITEMS
from grm_plugin.batch.statistics.wilson import Z, wilson

Verdict = Literal["better", "worse", "not distinguishable", "too few items"]

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure in [0, 1].

    Attributes:
        value: the figure.
        draws: its value in every bootstrap sample.
        basis: the clusters and items that it rests on.
    """

    value: float
    draws: Floats
    basis: Basis

    @property
    def error(self) -> float:
        """The standard error."""
        return math.sqrt(_spread(self.draws) ** 2 + self.basis.unseen)

    @property
    def interval(self) -> Interval:
        """The 95 % interval: Wilson's score interval for as many items as would give this standard error.

        With few clusters the standard error is uncertain too, so Student's t takes the place of the normal
        distribution (after Korn & Graubard 1998, who do the same to the exact interval of a survey's proportion).
        """
        p = min(max(self.value, 0.0), 1.0)
        clusters, error = self.basis.clusters, self.error
        n = p * (1 - p) / error**2 if error > 0 and 0 < p < 1 else clusters
        low, high = wilson(p * n, n, student_t(clusters - 1))
        # RewardBench 2's score of Ties may be a little outside of [0, 1].
        return min(low, self.value), max(high, self.value)


@dataclass(frozen=True, slots=True)
class Gap:
    """The difference of two figures on the same items.

    Attributes:
        value: in [-1, 1].
        draws: its value in every bootstrap sample.
        clusters: how many clusters of equal weight would say as much as the figure that rests on fewer.
        items: the same for items.
        unseen: as in `Basis`.
    """

    value: float
    draws: Floats
    clusters: float
    items: float
    unseen: float

    def interval(self, z: float = Z) -> Interval:
        """The interval of z standard errors; z = 1.96 gives 95 %.

        As Agresti & Min (2005) do for paired proportions, two items are added, one for either side: without them one
        item on which only the first method is right would make it better for certain.
        """
        n, d = self.items, self.value
        spread = n * n * (_spread(self.draws) ** 2 + self.unseen) + 1 + 2 * n * d * d / (n + 2)
        centre = n * d / (n + 2)
        half = z * student_t(self.clusters - 1) / Z * math.sqrt(spread) / (n + 2)
        return max(-1.0, min(centre - half, d)), min(1.0, max(centre + half, d))


def gap(first: Estimate, second: Estimate) -> Gap:
    """first - second. Both must be from the same bootstrap samples, which makes the difference a paired one."""
    one, other = first.basis, second.basis
    return Gap(
        first.value - second.value,
        first.draws - second.draws,
        min(one.clusters, other.clusters),
        min(one.items, other.items),
        one.unseen + other.unseen,
    )


def verdicts(gaps: Sequence[Gap]) -> list[tuple[Interval, Verdict]]:
    """For each of several differences: its interval, corrected for their number, and what follows from it.

    The corrected intervals hold all true differences together in 95 % of the cases. They are wider than single ones by
    as much as the largest of all deviations is larger than one of them in the bootstrap samples (Westfall & Young
    1993), which costs little where methods agree on most items. Of fewer clusters than
    `FEWEST_ITEMS` nothing follows.
    """
    z = together([found.draws for found in gaps])
    found = []
    for each in gaps:
        low, high = each.interval(z)
        verdict: Verdict = "better" if low > 0 else "worse" if high < 0 else "not distinguishable"
        found.append(((low, high), "too few items" if each.clusters < FEWEST_ITEMS else verdict))
    return found


def together(draws: Sequence[Floats]) -> float:
    """How many standard errors on either side hold 95 % of the largest deviation among several figures; >= 1.96."""
    spreads = [np.abs(each - each.mean()) / spread for each in draws if (spread := _spread(each)) > 0]
    return max(Z, float(np.quantile(np.max(spreads, axis=0), 0.95))) if len(spreads) > 1 else Z


def weighted_sum(parts: Sequence[tuple[float, Estimate]], apart: bool = False) -> Estimate:
    """The sum of (weight, estimate) pairs; the weights sum to 1.

    Args:
        parts: all from the same bootstrap samples; or, if `apart`, each on a benchmark of its own.
        apart: whether the parts share no cluster.
    """
    # Rounded: weights such as three thirds sum to a little more than 1, and no judge is right more often than always.
    value = round(sum(weight * estimate.value for weight, estimate in parts), 12)
    draws: Floats = np.sum([weight * estimate.draws for weight, estimate in parts], axis=0)
    bases = [(weight, estimate.basis) for weight, estimate in parts]
    return Estimate(value, draws, side_by_side(bases) if apart else mixed(bases))


def weighted_sums(parts: Sequence[tuple[float, Sequence[Estimate]]]) -> list[Estimate]:
    """`weighted_sum` of every column: each part has one estimate per method, and so has the result."""
    weights = [weight for weight, _ in parts]
    columns = zip(*(estimates for _, estimates in parts), strict=True)
    return [weighted_sum(list(zip(weights, column, strict=True))) for column in columns]


def student_t(freedom: float) -> float:
    """The 97.5 % quantile of Student's t; `freedom` below 1 counts as 1.

    By the expansion of Cornish and Fisher, which is within 0.1 % from 5 degrees of freedom on.
    """
    v = max(1.0, freedom)
    if v < len(_SMALL) + 1:
        return _SMALL[int(v) - 1]
    z = Z
    first = (z**3 + z) / (4 * v)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    return z + first + second + third


_SMALL = (12.706, 4.303, 3.182, 2.776)
"""The quantiles for 1 to 4 degrees of freedom, where the expansion is too rough."""


def _spread(draws: Floats) -> float:
    # Sums of floats in another order differ in the last digits: what is equal in all samples has no spread.
    spread = float(draws.std())
    return spread if spread > 1e-12 else 0.0
