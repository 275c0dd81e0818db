"""Spearman's rank correlation with an interval that respects clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grm_plugin.batch.statistics.shares import Floats, sums_by_cluster
from grm_plugin.batch.statistics.wilson import Z

DECIMALS = 9
"""Values that agree so far are equal: sums of the same numbers in another order differ in the last digits."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """A rank correlation.

    Attributes:
        value: in [-1, 1]; 0: the one says nothing of the other.
        ci95: its 95 % interval.
        n: number of observations.
    """

    value: float
    ci95: tuple[float, float]
    n: int


def rank_correlation(x: Floats, y: Floats, clusters: Sequence[str], strata: Floats | None = None) -> Correlation | None:
    """How far `x` and `y` rise together, by ranks.

    The interval is Fisher's, with the variance between clusters (of the influence of every observation), but never
    narrower than for independent observations.

    Args:
        x, y: n values each; equal ones share their mean rank.
        clusters: what each observation is drawn with.
        strata: n values; ranks are compared with the mean rank of the same stratum only, so that what separates the
            strata adds nothing. None: one stratum.

    Returns:
        None for fewer than three observations, or where x or y does not vary.
    """
    n = len(x)
    if n < 3:
        return None
    centred = [_centred(_ranks(values), np.zeros(n) if strata is None else strata) for values in (x, y)]
    deviations = [float(np.sqrt(np.mean(values**2))) for values in centred]
    if min(deviations) < 10.0**-DECIMALS:
        return None
    u, v = (values / deviation for values, deviation in zip(centred, deviations, strict=True))
    value = float(np.clip(np.mean(u * v), -1.0, 1.0))
    if n == 3:
        return Correlation(value, (-1.0, 1.0), n)
    sums = sums_by_cluster(u * v - value * (u**2 + v**2) / 2, clusters)
    if sums.size < 4:
        return Correlation(value, (-1.0, 1.0), n)
    error = math.sqrt(sums.size / (sums.size - 1) * float(sums @ sums)) / n
    inner = float(np.clip(value, -1 + 1e-9, 1 - 1e-9))
    half = Z * max(error / (1 - inner**2), 1 / math.sqrt(n - 3))
    middle = math.atanh(inner)
    return Correlation(value, (math.tanh(middle - half), math.tanh(middle + half)), n)


def _ranks(values: Floats) -> Floats:
    """Ranks from 0, the mean rank for equal values."""
    _, places, counts = np.unique(values.round(DECIMALS), return_inverse=True, return_counts=True)
    last = counts.cumsum()
    ranks: Floats = (last - (counts + 1) / 2)[places]
    return ranks


def _centred(ranks: Floats, strata: Floats) -> Floats:
    _, places = np.unique(strata, return_inverse=True)
    means = np.bincount(places, weights=ranks) / np.bincount(places)
    return ranks - means[places]
