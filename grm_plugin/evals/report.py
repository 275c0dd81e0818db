"""The report on a vote store, as rows of figures, which tables, curve and report.json show."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from grm_plugin.batch.vote_store import Manifest
from grm_plugin.evals.bootstrap import Estimate
from grm_plugin.evals.diagnostics import Diagnostics
from grm_plugin.evals.suites import Metric
from grm_plugin.evals.voting_methods import GREEDY, Method

OVERALL = ""
"""Subset of the rows over all items."""

OTHER = "other"
"""Subset of the items that have none, where other items have one."""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One figure.

    Attributes:
        suite: the benchmark.
        subset: a part of it; empty for all of it.
        model: the GRM.
        method: `greedy`, `@8`, `meta@8` (keeps half), `meta@8/1` (keeps one).
        k: number of votes; 0 for greedy.
        k_meta: number of votes that the meta RM keeps; None without a meta RM.
        metric: `accuracy` or `auc`.
        mean: the figure, in [0, 1]. A tie counts as wrong, and so does an item without a vote.
        ci95: the 95 % bootstrap interval of the mean, over items.
        n: number of items.
        lenient: accuracy with ties for the first place broken by chance (the paper's rule); AUC over the items that
            have a vote.
        ties: share of items where the best response shares the first place (accuracy only).
        lost: share of items without a single vote.
        chance: the figure that guessing gives.
    """

    suite: str
    subset: str
    model: str
    method: str
    k: int
    k_meta: int | None
    metric: Metric
    mean: float
    ci95: tuple[float, float]
    n: int
    lenient: float
    ties: float
    lost: float
    chance: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of two figures: on the same items, and the same bootstrap samples of them.

    Attributes:
        suite, subset, model, n: as in `ResultRow`.
        method: what is compared, such as `meta@8 - @8`.
        mean, ci95: the difference, in [-1, 1], and its interval.
    """

    suite: str
    subset: str
    model: str
    method: str
    mean: float
    ci95: tuple[float, float]
    n: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is computed from one store.

    Attributes:
        manifest: what the votes were sampled with.
        rows: one per subset and method; the overall rows have the empty subset and come first.
        differences: one per subset and pair of methods, in the same order.
        diagnostics: lost votes, tokens, position bias.
        estimates: method -> the overall figure with its bootstrap draws, for means and differences of reports.
        items: a digest of the items.
    """

    manifest: Manifest
    rows: list[ResultRow]
    differences: list[Difference]
    diagnostics: Diagnostics
    estimates: Mapping[str, Estimate] = field(repr=False)
    items: str

    def overall(self) -> list[ResultRow]:
        """The rows over all subsets."""
        return [row for row in self.rows if row.subset == OVERALL]

    @property
    def chance(self) -> float:
        """The overall figure that guessing gives."""
        return self.overall()[0].chance

    def to_json(self) -> dict[str, Any]:
        """The content of `report.json`."""
        return {
            "suite": self.manifest.suite,
            "model": self.manifest.model,
            "k": self.manifest.k,
            "meta_rm": self.manifest.meta_rm,
            "rows": [asdict(row) for row in self.rows],
            "differences": [asdict(difference) for difference in self.differences],
            "conduct": asdict(self.diagnostics),  # as in reports of 0.1.0
        }


@dataclass(frozen=True, slots=True)
class SubsetFigures:
    """The figures of one subset, with the fields of `ResultRow`; the lists have one entry per method."""

    n: int
    estimates: list[Estimate]
    lenient: list[float]
    ties: list[float]
    lost: list[float]
    chance: float


@dataclass(frozen=True, slots=True)
class RowMaker:
    """Makes rows of figures, with the names of suite, model and methods."""

    manifest: Manifest
    methods: Sequence[Method]
    metric: Metric

    def rows(self, subset: str, figures: SubsetFigures) -> list[ResultRow]:
        """One row per method."""
        columns = zip(self.methods, figures.estimates, figures.lenient, figures.ties, figures.lost, strict=True)
        return [
            ResultRow(
                self.manifest.suite,
                subset,
                self.manifest.model,
                method.name,
                method.k,
                method.k_meta,
                self.metric,
                estimate.value,
                estimate.interval,
                figures.n,
                float(lenient),
                float(ties),
                float(lost),
                figures.chance,
            )
            for method, estimate, lenient, ties, lost in columns
        ]

    def differences(self, subset: str, figures: SubsetFigures) -> list[Difference]:
        """One row per pair of methods that is compared."""
        estimates = {method.name: found for method, found in zip(self.methods, figures.estimates, strict=True)}
        return [
            Difference(
                self.manifest.suite,
                subset,
                self.manifest.model,
                f"{high} - {low}",
                (estimates[high] - estimates[low]).value,
                (estimates[high] - estimates[low]).interval,
                figures.n,
            )
            for high, low in _compared(self.methods)
        ]


def _compared(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """The pairs that are compared: all methods with greedy, each @k with those of smaller k, and meta@k with @k."""
    plain = [method for method in methods if method.k_meta is None and method is not GREEDY]
    pairs = [(method.name, GREEDY.name) for method in methods if GREEDY in methods and method is not GREEDY]
    pairs += [(larger.name, smaller.name) for smaller, larger in itertools.combinations(plain, 2)]
    pairs += [(method.name, f"@{method.k}") for method in methods if method.k_meta is not None]
    return pairs
