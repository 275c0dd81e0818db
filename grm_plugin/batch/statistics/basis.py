"""What a figure rests on: how much every cluster, and every item, weighs in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LARGEST_VARIANCE = 0.25
"""Of a figure in [0, 1] on one cluster; such a cluster says nothing of the variance itself."""


@dataclass(frozen=True, slots=True)
class Basis:
    """The weights behind a figure.

    Attributes:
        by_cluster: the weight of every cluster of the bootstrap, 0 for those that are not in the figure.
        by_item: the same for every item.
        unseen: variance that no bootstrap sample shows: of those parts of a sum that are on one cluster.
    """

    by_cluster: Floats
    by_item: Floats
    unseen: float

    @property
    def clusters(self) -> float:
        """How many clusters of equal weight would say as much."""
        return effective_number(self.by_cluster)

    @property
    def items(self) -> float:
        """How many items of equal weight would say as much."""
        return effective_number(self.by_item)


def basis_of(by_cluster: Floats, by_item: Floats) -> Basis:
    """Of a figure that is no sum of others."""
    return Basis(by_cluster, by_item, LARGEST_VARIANCE if np.count_nonzero(by_cluster) == 1 else 0.0)


def mixed(parts: Sequence[tuple[float, Basis]]) -> Basis:
    """Of the weighted sum of figures on the same bootstrap: what several of them rest on is counted once."""
    by_cluster: Floats = np.sum([weight * part.by_cluster for weight, part in parts], axis=0)
    by_item: Floats = np.sum([weight * part.by_item for weight, part in parts], axis=0)
    unseen = sum(weight**2 * part.unseen for weight, part in parts)
    return Basis(by_cluster, by_item, max(unseen, basis_of(by_cluster, by_item).unseen))


def side_by_side(parts: Sequence[tuple[float, Basis]]) -> Basis:
    """Of the weighted sum of figures on different benchmarks, which share nothing."""
    return Basis(
        np.concatenate([weight * part.by_cluster for weight, part in parts]),
        np.concatenate([weight * part.by_item for weight, part in parts]),
        sum(weight**2 * part.unseen for weight, part in parts),
    )


def effective_number(weights: Floats) -> float:
    """How many equal weights would say as much (Kish): (sum of weights)^2 / sum of squared weights."""
    return float(weights.sum() ** 2 / (weights**2).sum())
