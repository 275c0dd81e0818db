"""From stored votes to figures: accuracy (or ROC-AUC) of every method, per subset and overall, with intervals."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from grm_plugin.batch.items import Item, digest
from grm_plugin.batch.vote_store import ItemVotes, Manifest
from grm_plugin.errors import ConfigError
from grm_plugin.evals.diagnostics import diagnose
from grm_plugin.evals.report import OTHER, OVERALL, Naming, Part, Report
from grm_plugin.evals.resampling import SUM_DECIMALS, Floats, ItemOutcome, Tally, methods_for, outcome_of, tally_item
from grm_plugin.evals.statistics import bootstrap_aucs, bootstrap_means, mean_of, shares_below
from grm_plugin.evals.suites import by_items, metric_of, suite_named

PartOf = Callable[[Sequence[Item], Sequence[Any], np.random.Generator], Part | None]
"""Items and their verdicts -> figures, or None where there are none."""


def analyse(manifest: Manifest, records: Sequence[ItemVotes], k_metas: Sequence[int] = (), seed: int = 0) -> Report:
    """All figures of a store. The same ones for the same seed, in whatever order the votes came in.

    Two reports on the same items have bootstrap samples of the same items: their `estimates` can be subtracted.

    Args:
        manifest, records: from `read_store`; no text of a critique is looked at.
        k_metas: numbers of critiques that the meta RM keeps, beside the default of half.
        seed: of the random choices of votes and the bootstrap.

    Raises:
        ConfigError: the store holds no item, or (single responses) no subset with right and wrong ones.
        WireError: it mixes single responses with several.
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
    seeds = [seed, zlib.crc32(suite.name.encode())]  # benchmarks are resampled apart, models on one are not
    part_of: PartOf = _accuracies if metric == "accuracy" else _aucs
    parts = _parts([record.item for record in records], verdicts, part_of, seeds, one=suite.weights is by_items)
    if OVERALL not in parts:
        weights = suite.weights({name: part.n for name, part in parts.items()})
        overall = {OVERALL: _add_up([(weight, parts[name]) for name, weight in weights.items()])}
        parts = {**overall, **_sections(suite.sections, parts), **parts}
    named = Naming(manifest, methods, metric)
    return Report(
        manifest,
        [row for name, part in parts.items() for row in named.rows(name, part)],
        [row for name, part in parts.items() for row in named.differences(name, part)],
        diagnose(records, manifest.meta_rm is not None),
        {method.name: estimate for method, estimate in zip(methods, parts[OVERALL].estimates, strict=True)},
        digest([digest(record.item.to_json()) for record in records]),
    )


def _parts(
    items: Sequence[Item], verdicts: Sequence[Any], part_of: PartOf, seeds: Sequence[int], one: bool
) -> dict[str, Part]:
    """Subset -> figures; with `one`, all items together too, as the first."""
    divided = any(item.subset for item in items)
    names = [item.subset or (OTHER if divided else OVERALL) for item in items]
    groups = {subset: [index for index, name in enumerate(names) if name == subset] for subset in sorted({*names})}
    if one:
        groups = {OVERALL: list(range(len(items)))} | groups
    found = {
        name: part_of(
            [items[index] for index in group],
            [verdicts[index] for index in group],
            np.random.default_rng([*seeds, place]),
        )
        for place, (name, group) in enumerate(groups.items())
    }
    parts = {name: part for name, part in found.items() if part is not None}
    if not parts:
        raise ConfigError("no subset has both right and wrong responses: there is no ROC-AUC")
    return parts


def _accuracies(items: Sequence[Item], outcomes: Sequence[ItemOutcome], rng: np.random.Generator) -> Part:
    return Part(
        len(items),
        bootstrap_means(np.array([outcome.right for outcome in outcomes]).T, rng),
        list(np.mean([outcome.lenient for outcome in outcomes], axis=0)),
        list(np.mean([outcome.tied for outcome in outcomes], axis=0)),
        list(np.mean([outcome.lost for outcome in outcomes], axis=0)),
        float(np.mean([1 / math.comb(len(item.responses), len(item.best)) for item in items])),
    )


def _aucs(items: Sequence[Item], scores: Sequence[Floats], rng: np.random.Generator) -> Part | None:
    """None where all items have one label; `scores` are M x R per item."""
    labels = np.array([item.label == 1 for item in items])
    if labels.all() or not labels.any():
        return None
    positives, negatives, lenient, lost = [], [], [], []
    for means in np.array(scores).transpose(1, 2, 0):  # methods x rounds x items
        right, wrong, voted = means[:, labels], means[:, ~labels], ~np.isnan(means)
        positives.append(shares_below(right, wrong))
        negatives.append(shares_below(-wrong, -right))
        pairs = voted[:, labels].sum(axis=1) @ voted[:, ~labels].sum(axis=1)
        lenient.append(float(positives[-1].sum() * wrong.size / pairs) if pairs else 0.0)
        lost.append(1 - float(voted.mean()))
    estimates = bootstrap_aucs(np.array(positives), np.array(negatives), rng)
    return Part(len(items), estimates, lenient, [0.0] * len(lost), lost, 0.5)


def _verdict(item: Item, tally: Tally) -> ItemOutcome | Floats:
    """What is kept of a tally, which is far larger."""
    return outcome_of(tally, item.best) if item.best else _mean_scores(tally)


def _mean_scores(tally: Tally) -> Floats:
    """M x R mean scores of a single response, NaN without a vote. Means, because the numbers of votes differ."""
    with np.errstate(invalid="ignore"):
        means: Floats = (tally.totals[..., 0] / tally.counts).round(SUM_DECIMALS)
    return means


def _sections(sections: Mapping[str, Mapping[str, float]], parts: Mapping[str, Part]) -> dict[str, Part]:
    """The sections of which there are items."""
    found = {}
    for section, subsets in sections.items():
        total = sum(weight for name, weight in subsets.items() if name in parts)
        if total:
            found[section] = _add_up([(subsets[name] / total, parts[name]) for name in subsets if name in parts])
    return found


def _add_up(parts: Sequence[tuple[float, Part]]) -> Part:
    """The weighted mean of parts."""

    def weighed(pick: Callable[[Part], list[float]]) -> list[float]:
        return list(np.sum([weight * np.array(pick(part)) for weight, part in parts], axis=0))

    estimates = zip(*(part.estimates for _, part in parts), strict=True)
    weights = [weight for weight, _ in parts]
    return Part(
        sum(part.n for _, part in parts),
        [mean_of(list(zip(weights, column, strict=True))) for column in estimates],
        weighed(lambda part: part.lenient),
        weighed(lambda part: part.ties),
        weighed(lambda part: part.lost),
        sum(weight * part.chance for weight, part in parts),
    )
