"""The strict figures: a tie is wrong, and so is an item without a vote; and the paper's rule beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grm_plugin.batch.items import Item
from grm_plugin.batch.statistics.basis import Floats
from grm_plugin.batch.statistics.bootstrap import Bootstrap, Ints, shares_ranked_below
from grm_plugin.batch.statistics.estimates import Estimate, weighted_sums
from grm_plugin.errors import ConfigError
from grm_plugin.evals.benchmarks.suite import OTHER, OVERALL, Metric, Suite, by_items
from grm_plugin.evals.voting_methods import ItemOutcome, Tally, outcome_of


@dataclass(frozen=True, slots=True)
class SubsetFigures:
    """The figures of one subset, with the fields of `ResultRow`; the lists have one entry per method."""

    n: int
    estimates: list[Estimate]
    lenient: list[Estimate]
    ties: list[float]
    lost: list[float]
    chance: float


def reduced(item: Item, tally: Tally, pairwise: bool) -> ItemOutcome | Floats:
    """What the figures need of a tally, which itself is far larger: an outcome, or M x R mean scores of one response.

    Means, not sums: single responses are compared that have different numbers of votes.
    """
    return outcome_of(tally, item.best, pairwise) if item.best else tally.means[..., 0]


def strict_figures(
    suite: Suite, metric: Metric, items: Sequence[Item], values: Sequence[Any], bootstrap: Bootstrap
) -> dict[str, SubsetFigures]:
    """Subset -> its figures; the overall ones come first, then those of sections.

    Args:
        suite: the benchmark.
        metric: of the items.
        items, values: the items, and what `reduced` made of the votes on each.
        bootstrap: samples of these items.

    Raises:
        ConfigError: the items are single responses, and no subset has right and wrong ones.
    """

    def measure(places: Ints) -> SubsetFigures | None:
        chosen = [items[place] for place in places], [values[place] for place in places]
        if metric == "auc":
            return _aucs(*chosen, places, bootstrap)
        return _accuracies(*chosen, places, bootstrap, suite.pairwise)

    divided = any(item.subset for item in items)
    names = [item.subset or (OTHER if divided else OVERALL) for item in items]
    members = {name: np.array([place for place, own in enumerate(names) if own == name]) for name in sorted({*names})}
    # Where every item weighs the same, the overall figures are computed over all items instead of added up.
    if suite.weights is by_items:
        members = {OVERALL: np.arange(len(items))} | members
    figures = {name: found for name, places in members.items() if (found := measure(places)) is not None}
    if not figures:
        raise ConfigError("no subset has both right and wrong responses: there is no ROC-AUC")
    if OVERALL in figures:
        return figures
    weights = suite.weights({name: found.n for name, found in figures.items()})
    overall = {OVERALL: _weighted_mean([(weight, figures[name]) for name, weight in weights.items()])}
    return {**overall, **_sections(suite.sections, figures), **figures}


def _accuracies(
    items: Sequence[Item], outcomes: Sequence[ItemOutcome], places: Ints, bootstrap: Bootstrap, pairwise: bool
) -> SubsetFigures:
    strict = np.array([outcome.right for outcome in outcomes]).T
    both = bootstrap.means(np.vstack([strict, np.array([outcome.lenient for outcome in outcomes]).T]), places)
    return SubsetFigures(
        len(items),
        both[: len(strict)],
        both[len(strict) :],
        list(np.mean([outcome.tied for outcome in outcomes], axis=0)),
        list(np.mean([outcome.lost for outcome in outcomes], axis=0)),
        0.5 if pairwise else float(np.mean([1 / math.comb(len(item.responses), len(item.best)) for item in items])),
    )


def _aucs(items: Sequence[Item], scores: Sequence[Floats], places: Ints, bootstrap: Bootstrap) -> SubsetFigures | None:
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
    found = bootstrap.aucs(np.array(positives), places[labels], np.array(negatives), places[~labels])
    voted_only = [replace(estimate, value=value) for estimate, value in zip(found, lenient, strict=True)]
    return SubsetFigures(len(items), found, voted_only, [0.0] * len(lost), lost, 0.5)


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

    return SubsetFigures(
        sum(part.n for _, part in parts),
        weighted_sums([(weight, part.estimates) for weight, part in parts]),
        weighted_sums([(weight, part.lenient) for weight, part in parts]),
        weighed(lambda part: part.ties),
        weighed(lambda part: part.lost),
        sum(weight * part.chance for weight, part in parts),
    )
