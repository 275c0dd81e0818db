"""Which methods of a report are compared, and what the differences say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grm_plugin.batch.statistics.estimates import Estimate, Gap, gap, verdicts
from grm_plugin.batch.vote_store import Manifest
from grm_plugin.evals.report import Difference, Rule
from grm_plugin.evals.voting_methods import GREEDY, Method


def compare(
    manifest: Manifest,
    subset: str,
    rule: Rule,
    methods: Sequence[Method],
    estimates: Mapping[str, Estimate],
    n: int,
) -> list[Difference]:
    """The compared pairs of methods on one subset by one rule, corrected for their number.

    Args:
        manifest: names suite and model.
        subset, rule: what the estimates are of.
        methods: of the report.
        estimates: method -> figure.
        n: number of items.
    """
    gaps = {f"{high} - {low}": gap(estimates[high], estimates[low]) for high, low in _compared(methods)}
    return differences(manifest.suite, subset, manifest.model, rule, gaps, n)


def differences(suite: str, subset: str, model: str, rule: Rule, gaps: Mapping[str, Gap], n: int) -> list[Difference]:
    """Named differences that are looked at together; the arguments are the fields of `Difference`."""
    together = verdicts(list(gaps.values()))
    return [
        Difference(suite, subset, model, name, rule, found.value, found.interval(), len(gaps), interval, verdict, n)
        for (name, found), (interval, verdict) in zip(gaps.items(), together, strict=True)
    ]


def _compared(methods: Sequence[Method]) -> list[tuple[str, str]]:
    """All methods with greedy, @K with every smaller @k, and meta@k with @k."""
    plain = [method for method in methods if method.k_meta is None and method is not GREEDY]
    pairs = [(method.name, GREEDY.name) for method in methods if GREEDY in methods and method is not GREEDY]
    pairs += [(plain[-1].name, smaller.name) for smaller in plain[:-1]]
    pairs += [(method.name, f"@{method.k}") for method in methods if method.k_meta is not None]
    return pairs
