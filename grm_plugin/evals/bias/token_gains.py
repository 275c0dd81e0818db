"""What tokens buy: accuracy against the tokens of a method, and of long critiques against short ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Protocol

import numpy as np

from grm_plugin.batch.statistics.clusters import cluster_of
from grm_plugin.batch.statistics.shares import Difference, Share, mean_difference, share_of
from grm_plugin.batch.vote_store import ItemVotes, StoredVote

QUARTERS = 4
"""Number of bins of critiques by length."""


class MethodFigure(Protocol):
    """The overall figure of a voting method; `grm_plugin.evals.report.ResultRow` is one."""

    @property
    def method(self) -> str: ...
    @property
    def k(self) -> int: ...
    @property
    def mean(self) -> float: ...
    @property
    def ci95(self) -> tuple[float, float]: ...


@dataclass(frozen=True, slots=True)
class MethodCost:
    """A voting method: tokens that the GRM generates per item, and the figure that they buy with its 95 % interval."""

    method: str
    tokens: float
    mean: float
    ci95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Quarter:
    """Votes of about the same length: their mean number of tokens, and the share of them that is right."""

    tokens: float
    right: Share


@dataclass(frozen=True, slots=True)
class CritiqueLengths:
    """Whether long critiques are right more often. A vote is right as an item is: a tie is wrong.

    Attributes:
        quarters: all votes that could be read, from the shortest quarter to the longest. Fewer than four where many
            critiques are equally long.
        effect: share of right votes among those longer than their item's median, minus that among the shorter ones,
            mean over items. Hard items may have long critiques: here every item is compared with itself. None where no
            item has votes of different lengths.
    """

    quarters: tuple[Quarter, ...]
    effect: Difference | None


def method_costs(records: Sequence[ItemVotes], figures: Sequence[MethodFigure]) -> list[MethodCost]:
    """The cost of every method; none where the store does not say how many tokens there were."""
    per_vote = fmean([vote.tokens for record in records for vote in record.votes] or [0])
    greedy = fmean([sum(vote.tokens for vote in record.greedy) for record in records] or [0])
    costs = [
        MethodCost(figure.method, figure.k * per_vote if figure.k else greedy, figure.mean, figure.ci95)
        for figure in figures
    ]
    return [cost for cost in costs if cost.tokens > 0]


def critique_lengths(records: Sequence[ItemVotes]) -> CritiqueLengths | None:
    """How being right goes with length; None for single responses, and where no vote has a number of tokens."""
    several = [record for record in records if len(record.item.responses) > 1]
    votes = [[vote for vote in record.votes if vote.scores is not None and vote.tokens] for record in several]
    tokens = np.array([vote.tokens for found in votes for vote in found])
    if not tokens.size:
        return None
    clusters = [cluster_of(record.item) for record in several]
    edges = np.unique(np.quantile(tokens, np.arange(1, QUARTERS) / QUARTERS))
    places = edges.searchsorted(tokens, "right")
    items = np.repeat(np.arange(len(several)), [len(found) for found in votes])
    right = np.array(
        [_is_right(record, vote) for record, found in zip(several, votes, strict=True) for vote in found], dtype=float
    )
    quarters = []
    for place in np.unique(places):
        chosen = places == place
        hits = np.bincount(items[chosen], weights=right[chosen], minlength=len(several))
        share = share_of(hits, np.bincount(items[chosen], minlength=len(several)), clusters)
        assert share is not None  # no quarter is empty
        quarters.append(Quarter(float(tokens[chosen].mean()), share))
    effects = [(_effect(record, found), name) for record, found, name in zip(several, votes, clusters, strict=True)]
    known = [(effect, name) for effect, name in effects if effect is not None]
    return CritiqueLengths(tuple(quarters), mean_difference([each for each, _ in known], [name for _, name in known]))


def _effect(record: ItemVotes, votes: Sequence[StoredVote]) -> float | None:
    if not votes:
        return None
    middle = median(vote.tokens for vote in votes)
    longer = [_is_right(record, vote) for vote in votes if vote.tokens > middle]
    shorter = [_is_right(record, vote) for vote in votes if vote.tokens < middle]
    return fmean(longer) - fmean(shorter) if longer and shorter else None


def _is_right(record: ItemVotes, vote: StoredVote) -> bool:
    return record.item.is_right(vote.scores or ())
