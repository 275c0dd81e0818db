"""Whether the judge favours responses that are longer, or have more Markdown, for what they look like.

Looked at are the pairs of a best and another response of an item that differ in the trait and that the votes decide:
the one with the higher mean score wins. Every item weighs the same. A judge that goes by the trait is right more often
where the right response has more of it than where it has less: that difference is the bias. How often the response
with more of it wins is no measure by itself, since good responses may have more of it; so both are shown. Traits go
together: responses with more Markdown are mostly longer, so one bias may show up under both names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grm_plugin.batch.statistics.clusters import cluster_of
from grm_plugin.batch.statistics.rank_correlation import Correlation, rank_correlation
from grm_plugin.batch.statistics.shares import Difference, Floats, Share, difference_of, share_of
from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.evals.bias.markdown_style import KINDS, markdown_counts

SUM_DECIMALS = 6
"""Mean scores that agree so far are a tie."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

LENGTH, MARKDOWN = "length", "markdown"

Traits = Mapping[str, Sequence[float]]
"""Trait -> how much of it each response of an item has."""


@dataclass(frozen=True, slots=True)
class TraitBias:
    """What one trait does to the verdicts.

    Attributes:
        trait: `length` (characters that the GRM was shown), `markdown` (all kinds together), or a kind of Markdown.
        wins: share of the decided pairs in which the response with more of it wins.
        is_right: share of the same pairs in which the response with more of it is the right one.
        right_has_more: share of right verdicts, of the pairs whose right response has more of it.
        right_has_less: likewise, where it has less.
        effect: `right_has_more` minus `right_has_less`: 0 without a bias, above 0 where more of it is favoured.
        correlation: rank correlation, over pairs, of how much more of it the right response has (the logarithm of the
            ratio; of counts plus 1) with how far it is ahead in mean score; ties are in it. Of single responses: of how
            much of it they have with their mean score, among the right ones and among the wrong ones.
        undecided: number of pairs that differ in the trait and tie in mean score.
    """

    trait: str
    wins: Share | None
    is_right: Share | None
    right_has_more: Share | None
    right_has_less: Share | None
    effect: Difference | None
    correlation: Correlation | None
    undecided: int


@dataclass(frozen=True, slots=True)
class _Pairs:
    """P pairs of a best and another response of I items.

    Attributes:
        item: P indices of items.
        excess: trait -> P logarithms of how much more of it the best response has.
        ahead: P differences of mean scores, best minus other.
        clusters: I names.
    """

    item: Ints
    excess: Mapping[str, Floats]
    ahead: Floats
    clusters: Sequence[str]


def trait_biases(records: Iterable[ItemVotes]) -> list[TraitBias]:
    """The biases by length, by Markdown, and by every kind of it, over the items that have votes."""
    voted = [(record, mean) for record in records if (mean := mean_scores(record)) is not None]
    seen: dict[str, Mapping[str, float]] = {}
    traits = [_traits_of(record, seen) for record, _ in voted]
    names = [LENGTH, MARKDOWN, *KINDS]
    if voted and all(len(record.item.responses) == 1 for record, _ in voted):
        return [_of_singles(name, voted, traits) for name in names]
    pairs = _pairs_of(voted, traits, names)
    return [_of_pairs(name, pairs) for name in names]


def mean_scores(record: ItemVotes) -> Floats | None:
    """The mean score of each response over the votes that could be read; None without one."""
    read = [vote.scores for vote in record.votes if vote.scores is not None]
    return np.mean(np.array(read, dtype=float), axis=0).round(SUM_DECIMALS) if read else None


def _traits_of(record: ItemVotes, seen: dict[str, Mapping[str, float]]) -> Traits:
    """`seen` keeps what is known of texts, since a text may stand in several items of one prompt."""
    responses = record.item.responses
    for text in responses:
        if text not in seen:
            counts = markdown_counts(text)
            seen[text] = {MARKDOWN: sum(counts.values()), **counts}
    cut = dict(enumerate(record.cut))
    lengths = [max(0, len(text) - cut.get(index, 0)) for index, text in enumerate(responses)]
    return {LENGTH: lengths} | {name: [seen[text][name] for text in responses] for name in (MARKDOWN, *KINDS)}


def _pairs_of(voted: Sequence[tuple[ItemVotes, Floats]], traits: Sequence[Traits], names: Sequence[str]) -> _Pairs:
    item: list[int] = []
    ahead: list[float] = []
    excess: dict[str, list[float]] = {name: [] for name in names}
    for place, ((record, means), found) in enumerate(zip(voted, traits, strict=True)):
        amounts = {name: np.log1p(np.asarray(found[name], dtype=float)) for name in names}
        best = record.item.best
        for right in best:
            for wrong in range(len(means)):
                if wrong not in best:
                    item.append(place)
                    ahead.append(means[right] - means[wrong])
                    for name in names:
                        excess[name].append(amounts[name][right] - amounts[name][wrong])
    return _Pairs(
        np.array(item, dtype=np.int64),
        {name: np.array(values) for name, values in excess.items()},
        np.array(ahead).round(SUM_DECIMALS),
        [cluster_of(record.item) for record, _ in voted],
    )


def _of_pairs(name: str, pairs: _Pairs) -> TraitBias:
    excess, ahead = pairs.excess[name], pairs.ahead
    differ = excess != 0
    decided = differ & (ahead != 0)

    def share(hits: Bools, among: Bools) -> Share | None:
        size = len(pairs.clusters)
        counts = [np.bincount(pairs.item[chosen], minlength=size) for chosen in (hits & among, among)]
        return share_of(counts[0], counts[1], pairs.clusters)

    more, less = (share(ahead > 0, decided & (excess > 0)), share(ahead > 0, decided & (excess < 0)))
    clusters = [pairs.clusters[place] for place in pairs.item[differ]]
    return TraitBias(
        name,
        share((excess > 0) == (ahead > 0), decided),
        share(excess > 0, decided),
        more,
        less,
        difference_of(more, less),
        rank_correlation(excess[differ], ahead[differ], clusters),
        int((differ & ~decided).sum()),
    )


def _of_singles(name: str, voted: Sequence[tuple[ItemVotes, Floats]], traits: Sequence[Traits]) -> TraitBias:
    amounts = np.array([found[name][0] for found in traits], dtype=float)
    scores = np.array([means[0] for _, means in voted])
    labels = np.array([float(record.item.label or 0) for record, _ in voted])
    clusters = [cluster_of(record.item) for record, _ in voted]
    return TraitBias(name, None, None, None, None, None, rank_correlation(amounts, scores, clusters, labels), 0)
