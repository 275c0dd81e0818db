"""Several reports together: the mean over benchmarks (the paper's overall column), or models on one benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.errors import ConfigError
from grm_plugin.evals.bootstrap import weighted_sum
from grm_plugin.evals.report import OVERALL, Difference, Report

PAPERS_FOUR = ("rewardbench", "ppe-preference", "ppe-correctness", "rmb")
"""The benchmarks over which the paper's overall figure is the mean."""


@dataclass(frozen=True, slots=True)
class BenchmarkMean:
    """The mean of one method over benchmarks that weigh the same.

    Attributes:
        mean, ci95: the mean and its 95 % interval; a tie counts as wrong.
        lenient: with ties for the first place broken by chance, as in the paper.
        suites: the names of the benchmarks.
    """

    mean: float
    ci95: tuple[float, float]
    lenient: float
    suites: tuple[str, ...]


def mean_over_benchmarks(reports: Sequence[Report]) -> dict[str, BenchmarkMean]:
    """Method -> its mean over the reports, for the methods that all of them have.

    Raises:
        ConfigError: the reports are of different models, or some are measured by accuracy and others by ROC-AUC.
    """
    models = dict.fromkeys(report.manifest.model for report in reports)
    metrics = dict.fromkeys(report.rows[0].metric for report in reports)
    for what, different in (("models", models), ("metrics", metrics)):
        if len(different) > 1:
            raise ConfigError(
                f"no mean over different {what} ({', '.join(different)}): give --from folders of one of them"
            )
    suites = tuple(report.manifest.suite for report in reports)
    shared = [method for method in reports[0].estimates if all(method in report.estimates for report in reports)]
    lenient = [{row.method: row.lenient for row in report.overall()} for report in reports]
    means = {}
    for method in shared:
        found = weighted_sum([(1 / len(reports), report.estimates[method]) for report in reports])
        means[method] = BenchmarkMean(found.value, found.interval, fmean(each[method] for each in lenient), suites)
    return means


def compare_models(reports: Sequence[Report]) -> list[Difference]:
    """Each further report minus the first one, per method. The differences are paired: the items are the same.

    Raises:
        ConfigError: the reports are on different items.
    """
    first, *others = reports
    if any(report.items != first.items for report in others):
        raise ConfigError(
            f"the stores of {first.manifest.suite} hold different items: use the same --data, --limit and --seed"
        )
    return [
        _difference(first, other, method) for other in others for method in other.estimates if method in first.estimates
    ]


def _difference(first: Report, other: Report, method: str) -> Difference:
    found = other.estimates[method] - first.estimates[method]
    suite, model = other.manifest.suite, other.manifest.model
    name = f"{method}: {model} - {first.manifest.model}"
    return Difference(suite, OVERALL, model, name, found.value, found.interval, other.diagnostics.items)
