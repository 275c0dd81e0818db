"""The figures of a store, as rows: what `grm_plugin.evals.analysis` computes and everything else shows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from grm_plugin.batch.vote_store import Manifest
from grm_plugin.evals.diagnostics import Diagnostics
from grm_plugin.evals.resampling import GREEDY, Method
from grm_plugin.evals.statistics import Estimate
from grm_plugin.evals.suites import Metric

OVERALL = ""
"""Name of the row over all subsets."""

OTHER = "other"
"""Name of the row of items without a subset, where there are items with one."""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One figure.

    Attributes:
        suite: the benchmark.
        subset: a part of it; empty for all of it.
        model: the GRM.
        method: `greedy`, `@8`, `meta@8` (keeps half), `meta@8/1` (keeps one).
        k: votes; 0 for greedy.
        k_meta: votes kept by the meta RM, or None without it.
        metric: `accuracy` or `auc`.
        mean: the figure, in [0, 1]. Strict: a tie is wrong, a missing verdict too.
        ci95: its bootstrap interval over items.
        n: items.
        lenient: accuracy with ties for the first place broken by chance (the paper's rule); AUC over the items that
            have a verdict.
        ties: share of items where the best response shares the first place (accuracy only).
        lost: share of items without a single vote.
        chance: what guessing would give.
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
    """A paired difference: the same items, the same bootstrap samples. `method` reads `meta@8 - @8`."""

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
        manifest: what drew the votes.
        rows: per subset and method; the overall rows have the empty subset and come first.
        differences: likewise.
        diagnostics: parse failures, tokens, position bias.
        estimates: method -> the overall figure with its bootstrap draws, for means over stores and their differences.
        items: a digest of what was judged.
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
        """What guessing would give, overall."""
        return self.overall()[0].chance

    def to_json(self) -> dict[str, Any]:
        """What `report.json` holds."""
        return {
            "suite": self.manifest.suite,
            "model": self.manifest.model,
            "k": self.manifest.k,
            "meta_rm": self.manifest.meta_rm,
            "rows": [asdict(row) for row in self.rows],
            "differences": [asdict(difference) for difference in self.differences],
            "conduct": asdict(self.diagnostics),  # the name that the key has in reports of 0.1.0
        }


@dataclass(frozen=True, slots=True)
class Part:
    """The figures of one subset, per method in order."""

    n: int
    estimates: list[Estimate]
    lenient: list[float]
    ties: list[float]
    lost: list[float]
    chance: float


@dataclass(frozen=True, slots=True)
class Naming:
    """Puts names to figures."""

    manifest: Manifest
    methods: Sequence[Method]
    metric: Metric

    def rows(self, subset: str, part: Part) -> list[ResultRow]:
        columns = zip(self.methods, part.estimates, part.lenient, part.ties, part.lost, strict=True)
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
                part.n,
                float(lenient),
                float(ties),
                float(lost),
                part.chance,
            )
            for method, estimate, lenient, ties, lost in columns
        ]

    def differences(self, subset: str, part: Part) -> list[Difference]:
        estimates = {method.name: found for method, found in zip(self.methods, part.estimates, strict=True)}
        return [
            Difference(
                self.manifest.suite,
                subset,
                self.manifest.model,
                f"{high} - {low}",
                (estimates[high] - estimates[low]).value,
                (estimates[high] - estimates[low]).interval,
                part.n,
            )
            for high, low in _compared(self.methods)
        ]


def _compared(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """Which methods are compared: @k and meta@k with greedy, @k with every smaller one, meta@k with @k."""
    plain = [method for method in methods if method.k_meta is None and method is not GREEDY]
    pairs = [(method.name, GREEDY.name) for method in methods if GREEDY in methods and method is not GREEDY]
    pairs += [(larger.name, smaller.name) for smaller, larger in itertools.combinations(plain, 2)]
    pairs += [(method.name, f"@{method.k}") for method in methods if method.k_meta is not None]
    return pairs
