"""Computes a report from stored votes: accuracy or ROC-AUC of every method, per subset and overall, with intervals."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from grm_plugin._util.digests import digest
from grm_plugin.batch.items import Item
from grm_plugin.batch.vote_store import ItemVotes, Manifest
from grm_plugin.errors import ConfigError
from grm_plugin.evals.bootstrap import bootstrap_aucs, bootstrap_means, shares_ranked_below, weighted_sum
from grm_plugin.evals.diagnostics import diagnose
from grm_plugin.evals.report import OTHER, OVERALL, Report, RowMaker, SubsetFigures
from grm_plugin.evals.suites import by_items, metric_of, suite_named
from grm_plugin.evals.voting_methods import (
    SUM_DECIMALS,
    Floats,
    ItemOutcome,
    Tally,
    methods_for,
    outcome_of,
    tally_item,
)

FiguresOf = Callable[[Sequence[Item], Sequence[Any], np.random.Generator], SubsetFigures | None]
"""Items and their verdicts -> their figures, or None where there are no figures for such items."""


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
    records = sorted(records, key=lambda record: record.item.id)
    metric = metric_of([record.item for record in records])
    rated = any(vote.meta is not None for record in records for vote in record.votes)
    methods = methods_for(manifest.k, all(record.greedy for record in records), rated, k_metas)
    rng = np.random.default_rng(seed)
    verdicts = [_verdict(record.item, tally_item(record, methods, rng)) for record in records]
    suite = suite_named(manifest.suite)
    # Different benchmarks get different bootstrap samples, different models on one benchmark the same ones.
    seeds = [seed, zlib.crc32(suite.name.encode())]
    figures_of: FiguresOf = _accuracies if metric == "accuracy" else _aucs
    # Where every item weighs the same, the overall figures are computed over all items instead of added up.
    pooled = suite.weights is by_items
    figures = _figures_by_subset([record.item for record in records], verdicts, figures_of, seeds, pooled)
    if OVERALL not in figures:
        weights = suite.weights({name: found.n for name, found in figures.items()})
        overall = {OVERALL: _weighted_mean([(weight, figures[name]) for name, weight in weights.items()])}
        figures = {**overall, **_sections(suite.sections, figures), **figures}
    maker = RowMaker(manifest, methods, metric)
    return Report(
        manifest,
        [row for name, found in figures.items() for row in maker.rows(name, found)],
        [row for name, found in figures.items() for row in maker.differences(name, found)],
        diagnose(records, manifest.meta_rm is not None),
        {method.name: estimate for method, estimate in zip(methods, figures[OVERALL].estimates, strict=True)},
        digest([digest(record.item.to_json()) for record in records]),
    )


def _figures_by_subset(
    items: Sequence[Item], verdicts: Sequence[Any], figures_of: FiguresOf, seeds: Sequence[int], pooled: bool
) -> dict[str, SubsetFigures]:
    """Subset -> its figures; with `pooled`, those of all items together come first."""
    divided = any(item.subset for item in items)
    names = [item.subset or (OTHER if divided else OVERALL) for item in items]
    members = {subset: [index for index, name in enumerate(names) if name == subset] for subset in sorted({*names})}
    if pooled:
        members = {OVERALL: list(range(len(items)))} | members
    figures = {
        name: figures_of(
            [items[index] for index in indices],
            [verdicts[index] for index in indices],
            np.random.default_rng([*seeds, place]),
        )
        for place, (name, indices) in enumerate(members.items())
    }
    found = {name: subset for name, subset in figures.items() if subset is not None}
    if not found:
        raise ConfigError("no subset has both right and wrong responses: there is no ROC-AUC")
    return found


def _accuracies(items: Sequence[Item], outcomes: Sequence[ItemOutcome], rng: np.random.Generator) -> SubsetFigures:
    return SubsetFigures(
        len(items),
        bootstrap_means(np.array([outcome.right for outcome in outcomes]).T, rng),
        list(np.mean([outcome.lenient for outcome in outcomes], axis=0)),
        list(np.mean([outcome.tied for outcome in outcomes], axis=0)),
        list(np.mean([outcome.lost for outcome in outcomes], axis=0)),
        float(np.mean([1 / math.comb(len(item.responses), len(item.best)) for item in items])),
    )


def _aucs(items: Sequence[Item], scores: Sequence[Floats], rng: np.random.Generator) -> SubsetFigures | None:
    """ROC-AUC from the M x R mean scores of each item (methods x rounds); None where all items have the same label."""
    labels = np.array([item.label == 1 for item in items])
    if labels.all() or not labels.any():
        return None
    positives, negatives, lenient, lost = [], [], [], []
    for means in np.array(scores).transpose(1, 2, 0):  # methods x rounds x items
        right, wrong, voted = means[:, labels], means[:, ~labels], ~np.isnan(means)
        positives.append(shares_ranked_below(right, wrong))
        negatives.append(shares_ranked_below(-wrong, -right))
        pairs = voted[:, labels].sum(axis=1) @ voted[:, ~labels].sum(axis=1)
        lenient.append(float(positives[-1].sum() * wrong.size / pairs) if pairs else 0.0)
        lost.append(1 - float(voted.mean()))
    estimates = bootstrap_aucs(np.array(positives), np.array(negatives), rng)
    return SubsetFigures(len(items), estimates, lenient, [0.0] * len(lost), lost, 0.5)


def _verdict(item: Item, tally: Tally) -> ItemOutcome | Floats:
    """What the figures need of a tally. The tally itself is far larger and not kept."""
    return outcome_of(tally, item.best) if item.best else _mean_scores(tally)


def _mean_scores(tally: Tally) -> Floats:
    """M x R mean scores of a single response; NaN where there is no vote.

    Means, not sums: responses are compared that have different numbers of votes.
    """
    with np.errstate(invalid="ignore"):
        means: Floats = (tally.totals[..., 0] / tally.counts).round(SUM_DECIMALS)
    return means


def _sections(
    sections: Mapping[str, Mapping[str, float]], figures: Mapping[str, SubsetFigures]
) -> dict[str, SubsetFigures]:
    """Section -> the weighted mean of its subsets, for the sections that have items."""
    found = {}
    for section, weights in sections.items():
        total = sum(weight for name, weight in weights.items() if name in figures)
        if total:
            present = [(weights[name] / total, figures[name]) for name in weights if name in figures]
            found[section] = _weighted_mean(present)
    return found


def _weighted_mean(parts: Sequence[tuple[float, SubsetFigures]]) -> SubsetFigures:
    """The mean of the figures of subsets, with weights that sum to 1."""

    def weighed(pick: Callable[[SubsetFigures], list[float]]) -> list[float]:
        return list(np.sum([weight * np.array(pick(part)) for weight, part in parts], axis=0))

    estimates = zip(*(part.estimates for _, part in parts), strict=True)
    weights = [weight for weight, _ in parts]
    return SubsetFigures(
        sum(part.n for _, part in parts),
        [weighted_sum(list(zip(weights, column, strict=True))) for column in estimates],
        weighed(lambda part: part.lenient),
        weighed(lambda part: part.ties),
        weighed(lambda part: part.lost),
        sum(weight * part.chance for weight, part in parts),
    )
