"""The cluster bootstrap: samples of clusters of items, and the figures in every sample.

Items on one prompt stand or fall together, so whole clusters are drawn with replacement: RMB has five pairs a prompt,
and intervals over pairs would be too narrow. All figures of a report are computed on the same samples, and so are those
of two reports on the same items, so that their differences are paired.

Of a stratum of n clusters n - 1 are drawn, each of which counts n / (n - 1) times (Rao & Wu 1988). So the spread of a
mean over the samples is its standard error for strata of any size; n draws would halve the variance for n = 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.basis import Basis, Floats, basis_of
from grm_plugin.batch.statistics.clusters import cluster_of
from grm_plugin.batch.statistics.estimates import Estimate

Ints = NDArray[np.int64]

DRAWS = 2000
"""Number of bootstrap samples."""

AT_ONCE = 2**17
"""At most this many numbers of a table of samples and clusters are in memory at once."""


class Bootstrap:
    """Bootstrap samples of the clusters of some items; the same ones for the same items and seed.

    Clusters are drawn separately from subsets that share none, so that the sizes of such subsets stay as they are.
    Subsets of a single cluster, whose variance cannot be seen, are one stratum together.

    Args:
        items: n items.
        seed: of the samples.
        draws: number of samples B.
    """

    def __init__(self, items: Sequence[Item], seed: Sequence[int], draws: int = DRAWS) -> None:
        names = [cluster_of(item) for item in items]
        numbers = {name: number for number, name in enumerate(sorted({*names}))}
        self._seed, self._draws = tuple(seed), draws
        self._cluster = np.array([numbers[name] for name in names], dtype=np.int64)
        self._strata = _strata(self._cluster, [item.subset for item in items], len(numbers))

    def sums(self, rows: Floats, items: Ints) -> tuple[Floats, Floats]:
        """Weighted sums over items.

        Args:
            rows: S x U numbers.
            items: the U items (their indices) that the columns belong to.

        Returns:
            S sums over the items, and S x B sums over the items of every sample.
        """
        clusters, place = np.unique(self._cluster[items], return_inverse=True)
        grouped = np.zeros((len(clusters), len(rows)))
        np.add.at(grouped, place, rows.T)
        drawn = np.zeros((len(rows), self._draws))
        for number, stratum in enumerate(self._strata):
            inside = np.isin(clusters, stratum, assume_unique=True)
            if inside.any():
                columns = np.searchsorted(stratum, clusters[inside])
                for start, counts in self._counts(number, len(stratum)):
                    drawn[:, start : start + len(counts)] += grouped[inside].T @ counts[:, columns].T
        return rows.sum(axis=1), drawn

    def means(self, rows: Floats, items: Ints, weights: Floats | None = None) -> list[Estimate]:
        """The weighted mean of each of S rows over U items. A sample without any of these items repeats the mean.

        Args:
            rows, items: as in `sums`.
            weights: how much each item counts, U numbers > 0; None weighs them alike.
        """
        given = np.ones(len(items)) if weights is None else weights
        totals, drawn = self.sums(np.vstack([rows * given, given]), items)
        means = totals[:-1] / totals[-1]
        with np.errstate(invalid="ignore"):
            found = np.where(drawn[-1] > 0, drawn[:-1] / drawn[-1], means[:, None])
        basis = self.basis(items, given)
        return [Estimate(float(mean), draws, basis) for mean, draws in zip(means, found, strict=True)]

    def basis(self, items: Ints, weights: Floats | None = None) -> Basis:
        """What a mean over some items rests on. Items may stand there several times; `weights` as in `means`."""
        by_item = np.bincount(items, weights, len(self._cluster)).astype(np.float64)
        by_item /= by_item.sum()
        return basis_of(np.bincount(self._cluster, by_item).astype(np.float64), by_item)

    def aucs(self, positives: Floats, above: Ints, negatives: Floats, below: Ints) -> list[Estimate]:
        """ROC-AUC of S methods.

        This is the first-order approximation of DeLong et al. (1988): the AUC of a sample is the mean share of its
        positives plus that of its negatives, minus the AUC. Its error shrinks faster with the number of items than the
        interval does.

        Args:
            positives: S x P, for each positive the share of negatives ranked below it (`shares_ranked_below`).
            above: the P positive items.
            negatives: S x N, for each negative the share of positives ranked above it.
            below: the N negative items.
        """
        ups, downs = self.means(positives, above), self.means(negatives, below)
        return [
            Estimate(
                up.value,
                np.clip(up.draws + down.draws - up.value, 0.0, 1.0),
                min(up.basis, down.basis, key=lambda basis: basis.clusters),
            )
            for up, down in zip(ups, downs, strict=True)
        ]

    def _counts(self, stratum: int, size: int) -> Iterator[tuple[int, Floats]]:
        """How often each of the clusters of a stratum counts: tables of samples x clusters, with their start."""
        rng = np.random.default_rng([*self._seed, stratum])
        number = max(1, size - 1)
        step = max(1, AT_ONCE // size)
        for start in range(0, self._draws, step):
            rows = min(step, self._draws - start)
            drawn = rng.integers(0, size, (rows, number)) + size * np.arange(rows)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(np.float64)
            yield start, counts * size / number


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


def _strata(clusters: Ints, subsets: Sequence[str], count: int) -> list[Ints]:
    """The clusters of each stratum. Subsets that share a cluster are one stratum, and so are those of one cluster."""
    parent = {subset: subset for subset in sorted({*subsets})}

    def root(subset: str) -> str:
        while parent[subset] != subset:
            subset = parent[subset]
        return subset

    first: dict[int, str] = {}
    for cluster, subset in zip(clusters.tolist(), subsets, strict=True):
        one, other = sorted((root(first.setdefault(cluster, subset)), root(subset)))
        parent[other] = one
    members: dict[str, list[int]] = {}
    for cluster in range(count):
        members.setdefault(root(first[cluster]), []).append(cluster)
    found = sorted((sorted(each) for each in members.values()), key=lambda each: (len(each), each))
    while len(found) > 1 and len(found[0]) == 1:
        first_two = sorted([*found.pop(0), *found.pop(0)])
        found = sorted([first_two, *found], key=lambda each: (len(each), each))
    return [np.array(each, dtype=np.int64) for each in found]
