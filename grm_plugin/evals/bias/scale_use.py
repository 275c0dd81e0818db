"""How the judge uses its scale: which scores it gives, how far they spread, how often the first place is shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import pstdev

from grm_plugin.batch.statistics.clusters import cluster_of
from grm_plugin.batch.statistics.shares import Share, share_of
from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.evals.bias.order_flips import winner_of

SCORE_DECIMALS = 6
"""Scores that agree so far are one value."""


@dataclass(frozen=True, slots=True)
class ScaleUse:
    """The scores of all votes that could be read.

    Attributes:
        scores: number of scores: votes times responses.
        deviation: their standard deviation.
        values: number of different scores.
        histogram: score, rounded to a whole number -> how often it was given; None for scalar models, whose logits have
            no scale.
        tied: share of the votes in which several responses share the first place; None for single responses.
    """

    scores: int
    deviation: float
    values: int
    histogram: Mapping[int, int] | None
    tied: Share | None


def scale_use(records: Sequence[ItemVotes], scalar: bool) -> ScaleUse | None:
    """The use of the scale; None without a vote that could be read."""
    counts = Counter(
        round(score, SCORE_DECIMALS) for record in records for vote in record.votes for score in vote.scores or ()
    )
    if not counts:
        return None
    whole: Counter[int] = Counter()
    for score, count in counts.items():
        whole[round(score)] += count
    several = [record for record in records if len(record.item.responses) > 1]
    read = [[vote for vote in record.votes if vote.scores is not None] for record in several]
    return ScaleUse(
        counts.total(),
        pstdev(counts.elements()),
        len(counts),
        None if scalar else dict(sorted(whole.items())),
        share_of(
            [sum(winner_of(vote) is None for vote in votes) for votes in read],
            [len(votes) for votes in read],
            [cluster_of(record.item) for record in several],
        ),
    )
