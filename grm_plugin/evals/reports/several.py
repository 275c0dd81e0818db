"""Several reports together: the mean over benchmarks (the paper's overall column), or models on one benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grm_plugin.batch.statistics.estimates import Estimate, Gap, Interval, gap, weighted_sum
from grm_plugin.errors import ConfigError
from grm_plugin.evals.benchmarks.suite import OVERALL
from grm_plugin.evals.comparisons import differences
from grm_plugin.evals.report import Difference, Report, Rule

PAPERS_FOUR = ("rewardbench", "ppe-preference", "ppe-correctness", "rmb")
"""The benchmarks over which the paper's overall figure is the mean."""


@dataclass(frozen=True, slots=True)
class BenchmarkMean:
    """The mean of one method over benchmarks that weigh the same.

    Attributes:
        mean, ci95: the mean and its 95 % interval; a tie counts as wrong.
        lenient: with ties for the first place broken by chance, as in the paper.
        official: of the benchmarks' own figures; None where one of them has none.
        suites: the names of the benchmarks.
    """

    mean: float
    ci95: Interval
    lenient: float
    official: float | None
    suites: tuple[str, ...]


def mean_over_benchmarks(reports: Sequence[Report]) -> dict[str, BenchmarkMean]:
    """Method -> its mean over the reports, for the methods that all of them have.

    Raises:
        ConfigError: the reports are of different models, or some are measured by accuracy and others by ROC-AUC; or
            they have no method in common.
    """
    models = dict.fromkeys(report.manifest.model for report in reports)
    metrics = dict.fromkeys(report.rows[0].metric for report in reports)
    for what, different in (("models", models), ("metrics", metrics)):
        if len(different) > 1:
            raise ConfigError(
                f"no mean over different {what} ({', '.join(different)}): give --from folders of one of them"
            )
    suites = tuple(report.manifest.suite for report in reports)
    means = {}
    for method in _shared(reports):
        found = _mean([report.estimates for report in reports], method)
        lenient = _mean([report.lenient for report in reports], method)
        own = [report.by_own_rule.estimates if report.by_own_rule else {} for report in reports]
        official = _mean(own, method).value if all(method in each for each in own) else None
        means[method] = BenchmarkMean(found.value, found.interval, lenient.value, official, suites)
    return means


def compare_models(reports: Sequence[Report]) -> list[Difference]:
    """Each further report minus the first one, per method. The differences are paired: the items are the same.

    By the strict rule, and by the benchmark's own where it has one (else with ties broken by chance).

    Raises:
        ConfigError: the reports are on different items, or have no method in common.
    """
    first, *others = reports
    if any(report.items != first.items for report in others):
        raise ConfigError(
            f"the stores of {first.manifest.suite} hold different items: use the same --data, --limit and --seed"
        )
    methods = _shared(reports)
    found = _compared("strict", first, others, methods, [report.estimates for report in reports])
    if all(report.by_own_rule and report.by_own_rule.estimates for report in reports):
        own = [report.by_own_rule.estimates for report in reports if report.by_own_rule]
        return found + _compared("official", first, others, methods, own)
    return found + _compared("lenient", first, others, methods, [report.lenient for report in reports])


def _compared(
    rule: Rule,
    first: Report,
    others: Sequence[Report],
    methods: Sequence[str],
    estimates: Sequence[Mapping[str, Estimate]],
) -> list[Difference]:
    base, *rest = estimates
    gaps: dict[str, Gap] = {}
    first_name, *names = _names([first, *others])
    for name, own in zip(names, rest, strict=True):
        for method in methods:
            gaps[f"{method}: {name} - {first_name}"] = gap(own[method], base[method])
    n = first.diagnostics.items
    return differences(first.manifest.suite, OVERALL, first.manifest.model, rule, gaps, n)


def _names(reports: Sequence[Report]) -> list[str]:
    """What the models are called; those of one name are numbered, or one's differences would stand for another's."""
    names: list[str] = []
    for report in reports:
        name, number = report.manifest.model, 2
        while name in names:
            name, number = f"{report.manifest.model} ({number})", number + 1
        names.append(name)
    return names


def _shared(reports: Sequence[Report]) -> list[str]:
    """The methods that all reports have."""
    shared = [method for method in reports[0].estimates if all(method in report.estimates for report in reports)]
    if not shared:
        raise ConfigError(
            "the stores have no method in common (a scalar model has only `scalar`): compare runs of one kind"
        )
    return shared


def _mean(estimates: Sequence[Mapping[str, Estimate]], method: str) -> Estimate:
    return weighted_sum([(1 / len(estimates), each[method]) for each in estimates], apart=True)
