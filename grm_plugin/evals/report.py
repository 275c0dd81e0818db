"""The report on a vote store, as rows of figures, which tables, curve and report.json show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from grm_plugin.batch.statistics.estimates import Estimate, Interval, Verdict
from grm_plugin.batch.vote_store import Manifest
from grm_plugin.evals.benchmarks.suite import OVERALL, Metric
from grm_plugin.evals.diagnostics import Diagnostics
from grm_plugin.evals.official.rule import OfficialRule

Rule = Literal["strict", "lenient", "official"]
"""How ties count: as wrong; broken by chance, as in the paper of SPCT; as the benchmark counts them."""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One figure.

    Attributes:
        suite: the benchmark.
        subset: a part of it; empty for all of it.
        model: the GRM.
        method: `greedy`, `@8`, `meta@8` (keeps half), `meta@8/1` (keeps one), `scalar` (a scalar reward model).
        k: number of votes; 0 for greedy.
        k_meta: number of votes that the meta RM keeps; None without a meta RM.
        metric: `accuracy` or `auc`.
        mean: the figure, in [0, 1]. A tie counts as wrong, and so does an item without a vote.
        ci95: its 95 % interval, over clusters of items (`batch.statistics.bootstrap`).
        n: number of items.
        lenient: accuracy with ties for the first place broken by chance (the paper's rule); AUC over the items that
            have a vote.
        lenient_ci95: its 95 % interval; for AUC that of the mean.
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
    ci95: Interval
    n: int
    lenient: float
    lenient_ci95: Interval
    ties: float
    lost: float
    chance: float


@dataclass(frozen=True, slots=True)
class OfficialRow:
    """One figure by the benchmark's own rule.

    Attributes:
        part: the part of the benchmark; empty for its headline figure.
        method: as in `ResultRow`.
        metric: `accuracy`, `f1`, `score` ...
        value, ci95: the figure, and its 95 % interval over clusters of items.
        n: number of items.
    """

    part: str
    method: str
    metric: str
    value: float
    ci95: Interval
    n: int


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of two figures: on the same items, and the same bootstrap samples of them.

    Attributes:
        suite, subset, model, n: as in `ResultRow`.
        method: what is compared, such as `meta@8 - @8`.
        rule: how ties count.
        mean: the difference, in [-1, 1].
        ci95: its own 95 % interval.
        compared: how many differences there are of this subset and rule.
        ci95_together: the interval that holds all of these at once.
        verdict: what follows from `ci95_together`.
    """

    suite: str
    subset: str
    model: str
    method: str
    rule: Rule
    mean: float
    ci95: Interval
    compared: int
    ci95_together: Interval
    verdict: Verdict
    n: int


@dataclass(frozen=True, slots=True)
class Official:
    """The figures by the benchmark's own rule, and what is to be known of them.

    Attributes:
        rule: the rule.
        rows: one per part and method; the headline figures have the empty part and come first.
        missing: the subsets, or other parts, without which there is no headline figure.
        estimates: method -> the headline figure with its bootstrap draws; empty where there is none.
    """

    rule: OfficialRule
    rows: list[OfficialRow]
    missing: Sequence[str]
    estimates: Mapping[str, Estimate] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """As a part of report.json."""
        return {
            "code": self.rule.code,
            "version": self.rule.version,
            "verified": self.rule.verified,
            "rule": self.rule.says,
            "missing": list(self.missing),
            "rows": [asdict(row) for row in self.rows],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is computed from one store.

    Attributes:
        manifest: what the votes were sampled with.
        rows: one per subset and method; the overall rows have the empty subset and come first.
        differences: the compared pairs of methods, of the overall figures first.
        diagnostics: lost votes, tokens, position bias.
        estimates: method -> the overall figure with its bootstrap draws, for means and differences of reports.
        lenient: the same with ties broken by chance.
        by_own_rule: the figures by the benchmark's own rule; None where it has none for such a judge.
        items: a digest of the items.
    """

    manifest: Manifest
    rows: list[ResultRow]
    differences: list[Difference]
    diagnostics: Diagnostics
    estimates: Mapping[str, Estimate] = field(repr=False)
    lenient: Mapping[str, Estimate] = field(repr=False)
    by_own_rule: Official | None
    items: str

    def overall(self) -> list[ResultRow]:
        """The rows over all subsets."""
        return [row for row in self.rows if row.subset == OVERALL]

    @property
    def official(self) -> list[OfficialRow]:
        """The official rows; none where the benchmark has no rule for such a judge."""
        return self.by_own_rule.rows if self.by_own_rule else []

    @property
    def chance(self) -> float:
        """The overall figure that guessing gives."""
        return self.overall()[0].chance

    def to_json(self) -> dict[str, Any]:
        """The content of `report.json`."""
        return {
            "suite": self.manifest.suite,
            "model": self.manifest.model,
            "judge": self.manifest.judge,
            "k": self.manifest.k,
            "meta_rm": self.manifest.meta_rm,
            "rows": [asdict(row) for row in self.rows],
            "official": self.by_own_rule.to_json() if self.by_own_rule else None,
            "differences": [asdict(difference) for difference in self.differences],
            "conduct": asdict(self.diagnostics),  # as in reports of 0.1.0
        }
