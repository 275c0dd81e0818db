"""Computes a report from stored votes: the figures of every method, per subset and overall, strict and official."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from grm_plugin._util.digests import digest
from grm_plugin.batch.label_noise import NOISE
from grm_plugin.batch.statistics.bootstrap import Bootstrap
from grm_plugin.batch.statistics.estimates import Estimate
from grm_plugin.batch.vote_store import ItemVotes, Manifest
from grm_plugin.errors import ConfigError
from grm_plugin.evals.benchmarks.suite import OVERALL, Metric
from grm_plugin.evals.benchmarks.suites import OWN_FORMAT, metric_of, missing_subsets, suite_named
from grm_plugin.evals.comparisons import compare
from grm_plugin.evals.diagnostics import diagnose
from grm_plugin.evals.official.rules import RULES, official_parts
from grm_plugin.evals.report import Difference, Official, OfficialRow, Report, ResultRow
from grm_plugin.evals.strict import SubsetFigures, reduced, strict_figures
from grm_plugin.evals.voting_methods import SCALAR, Method, methods_for, tally_item


def analyse(manifest: Manifest, records: Sequence[ItemVotes], k_metas: Sequence[int] = (), seed: int = 0) -> Report:
    """All figures of a store. They are the same for the same seed, whatever the order of the records.

    Reports on the same items are bootstrapped over the same samples of items, so that their `estimates` can be
    subtracted: the difference is paired.

    Args:
        manifest, records: from `read_store`, with or without the texts of the critiques.
        k_metas: numbers of critiques for the meta RM to keep, besides half of them.
        seed: of the random choices of votes and of the bootstrap.

    Raises:
        ConfigError: the store holds no item; or it holds single responses, and no subset has right and wrong ones.
        WireError: it holds items with one response and with several.
    """
    if not records:
        raise ConfigError(f"the store of {manifest.suite} holds no item yet: nothing to report")
    suite = suite_named(manifest.suite)
    records = sorted(records, key=lambda record: record.item.id)
    items = [record.item for record in records]
    metric = metric_of(items)
    methods = _methods(manifest, records, k_metas)
    scalar = manifest.judge == "scalar"
    rule = RULES.get(suite.name)
    if rule is not None and scalar and not rule.scalar:
        rule = None
    rng = np.random.default_rng(seed)
    outcomes, official_values = [], []
    for record in records:
        tally = tally_item(record, methods, rng, by_order=rule is not None and rule.by_order)
        outcomes.append(reduced(record.item, tally, suite.pairwise))
        official_values.append(rule.reduce(record.item, tally, scalar) if rule else None)
    # Different benchmarks get different bootstrap samples, different models on one benchmark the same ones.
    seeds = [seed, zlib.crc32(suite.name.encode())]
    # A benchmark's own figure counts items whose label is noise; what they say of a judge is nothing.
    clean = [place for place, item in enumerate(items) if suite.name == OWN_FORMAT or NOISE not in item.meta]
    if not clean:
        raise ConfigError("the labels of all items are noise: there is nothing to measure")
    sound = [items[place] for place in clean]
    bootstrap = Bootstrap(items, seeds)
    of_sound = bootstrap if len(sound) == len(items) else Bootstrap(sound, seeds)
    figures = strict_figures(suite, metric, sound, [outcomes[place] for place in clean], of_sound)
    own = None
    if rule is not None:
        parts, missing = official_parts(rule, items, official_values, bootstrap, missing_subsets(suite, items))
        rows = [
            OfficialRow(name, method.name, part.metric, found.value, found.interval, part.n)
            for name, part in parts.items()
            for method, found in zip(methods, part.estimates, strict=True)
        ]
        headline = parts[OVERALL].estimates if OVERALL in parts else None
        own = Official(rule, rows, missing, _by_method(methods, headline) if headline else {})
    return Report(
        manifest,
        [row for name, found in figures.items() for row in _rows(manifest, methods, metric, name, found)],
        _differences(manifest, methods, figures, own),
        diagnose(records, manifest.meta_rm is not None),
        _by_method(methods, figures[OVERALL].estimates),
        _by_method(methods, figures[OVERALL].lenient),
        own,
        digest([digest(record.item.to_json()) for record in records]),
    )


def _methods(manifest: Manifest, records: Sequence[ItemVotes], k_metas: Sequence[int]) -> list[Method]:
    if manifest.judge == "scalar":
        return [Method(SCALAR, manifest.k)]
    rated = any(vote.meta is not None for record in records for vote in record.votes)
    return methods_for(manifest.k, all(record.greedy for record in records), rated, k_metas)


def _by_method(methods: Sequence[Method], estimates: Sequence[Estimate]) -> dict[str, Estimate]:
    return {method.name: estimate for method, estimate in zip(methods, estimates, strict=True)}


def _rows(
    manifest: Manifest, methods: Sequence[Method], metric: Metric, subset: str, figures: SubsetFigures
) -> list[ResultRow]:
    """One row per method."""
    columns = zip(methods, figures.estimates, figures.lenient, figures.ties, figures.lost, strict=True)
    return [
        ResultRow(
            suite=manifest.suite,
            subset=subset,
            model=manifest.model,
            method=method.name,
            k=method.k,
            k_meta=method.k_meta,
            metric=metric,
            mean=strict.value,
            ci95=strict.interval,
            n=figures.n,
            lenient=lenient.value,
            lenient_ci95=lenient.interval,
            ties=float(ties),
            lost=float(lost),
            chance=figures.chance,
        )
        for method, strict, lenient, ties, lost in columns
    ]


def _differences(
    manifest: Manifest, methods: Sequence[Method], figures: Mapping[str, SubsetFigures], own: Official | None
) -> list[Difference]:
    """Of the official headline, then of every subset, by the strict and by the paper's rule."""
    found = []
    n = {name: subset.n for name, subset in figures.items()}
    if own is not None and own.estimates:
        found += compare(manifest, OVERALL, "official", methods, own.estimates, own.rows[0].n)
    for name, subset in figures.items():
        found += compare(manifest, name, "strict", methods, _by_method(methods, subset.estimates), n[name])
        found += compare(manifest, name, "lenient", methods, _by_method(methods, subset.lenient), n[name])
    return found
