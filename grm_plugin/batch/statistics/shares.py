"""Shares over items, and differences of shares, with intervals that know which items hang together.

Every item weighs the same, however many votes or pairs it has. Items of one cluster stand or fall together: they count
as independent only as far as their figures show it. The intervals are closed formulas, so they need no seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grm_plugin.batch.statistics.clusters import FEWEST_ITEMS
from grm_plugin.batch.statistics.wilson import Z, wilson

Floats = NDArray[np.float64]

Numbers = Sequence[float] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class Share:
    """A share.

    Attributes:
        value: mean over the items of each item's own share, in [0, 1].
        ci95: its 95 % interval.
        n: number of observations: votes, pairs or items.
        items: number of items that they come from.
    """

    value: float
    ci95: tuple[float, float]
    n: int
    items: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two shares, or a mean of such differences.

    Attributes:
        value: in [-1, 1].
        ci95: its 95 % interval.
        items: number of items; of two shares, the smaller number.
    """

    value: float
    ci95: tuple[float, float]
    items: int

    @property
    def sign(self) -> int | None:
        """1 or -1 where the interval lies above or below zero, else 0; None on too few items to say so."""
        if self.items < FEWEST_ITEMS:
            return None
        return (self.ci95[0] > 0) - (self.ci95[1] < 0)


def share_of(hits: Numbers, totals: Numbers, clusters: Sequence[str]) -> Share | None:
    """The mean over items of hits / total; None where no item has an observation.

    The interval is Wilson's for as many independent observations as would have the same variance between clusters; but
    for no more than there are observations, and, where all or none are hits, for as many as there are clusters.

    Args:
        hits: per item, number of hits.
        totals: per item, number of observations; items with 0 are passed over.
        clusters: per item, what it is drawn with.
    """
    all_hits, all_totals = np.asarray(hits, dtype=float), np.asarray(totals, dtype=float)
    used = all_totals > 0
    if not used.any():
        return None
    shares = all_hits[used] / all_totals[used]
    value, n = float(shares.mean()), int(all_totals.sum())
    sums = sums_by_cluster(shares - value, [cluster for cluster, use in zip(clusters, used, strict=True) if use])
    effective = float(sums.size)
    if sums.size > 1 and 0 < value < 1:
        variance = sums.size / (sums.size - 1) * float(sums @ sums) / shares.size**2
        effective = min(n, value * (1 - value) / variance) if variance > 0 else n
    return Share(value, wilson(min(value, 1.0) * effective, effective), n, int(shares.size))


def difference_of(first: Share | None, second: Share | None) -> Difference | None:
    """`first` minus `second`, by Newcombe's method 10 (1998), which adds up the two intervals' arms.

    It takes the two as independent, which makes the interval too wide rather than too narrow where the same clusters
    are in both. None where one of them is missing.
    """
    if first is None or second is None:
        return None
    value = first.value - second.value
    down = math.hypot(first.value - first.ci95[0], second.ci95[1] - second.value)
    up = math.hypot(first.ci95[1] - first.value, second.value - second.ci95[0])
    return Difference(value, (max(-1.0, value - down), min(1.0, value + up)), min(first.items, second.items))


def mean_difference(differences: Numbers, clusters: Sequence[str]) -> Difference | None:
    """The mean of one difference per item, each in [-1, 1]; None without an item.

    The interval is normal, with the variance between clusters, after two items were added that say nothing in sum (half
    an item with 1, half with -1, one with 0; after Agresti and Min, 2005): else a handful of equal items had an
    interval of no width.
    """
    found = np.asarray(differences, dtype=float)
    if not found.size:
        return None
    n = found.size + 2
    centre = float(found.sum()) / n
    sums = sums_by_cluster(found - centre, clusters)
    squares = float(sums @ sums) + ((1 - centre) ** 2 + (1 + centre) ** 2) / 2 + centre**2
    half = Z * math.sqrt((sums.size + 2) / (sums.size + 1) * squares) / n
    return Difference(float(found.mean()), (max(-1.0, centre - half), min(1.0, centre + half)), int(found.size))


def sums_by_cluster(values: Floats, clusters: Sequence[str]) -> Floats:
    """The sum of the values of each cluster, one entry per cluster."""
    _, places = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    sums: Floats = np.bincount(places, weights=values).astype(float)
    return sums
