"""Whether the votes know how far they can be trusted: agreement among the votes, set against being right.

Lists: the confidence of an item is the share of its votes that its leading response has. A vote whose first place is
tied counts for each of those in it by an equal part. For a scalar reward model, which has one vote, it is the
probability that its logits give the leading response (softmax; for a pair this is the Bradley-Terry model).
Single responses have no such confidence: their mean score is set against the rate of right ones, in five bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grm_plugin.batch.statistics.clusters import cluster_of
from grm_plugin.batch.statistics.shares import Difference, Floats, Share, mean_difference, share_of
from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.evals.bias.traits import mean_scores

BINS = 10
"""Number of bins of confidence, of equal width over 0..1."""

SCORE_BINS = 5
"""Number of bins of mean scores, of about as many single responses each."""

DECIMALS = 9
"""Shares of votes that agree so far are equal."""


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """The items of one bin.

    Attributes:
        predicted: their mean confidence; of single responses, their mean score.
        right: the share that is right.
    """

    predicted: float
    right: Share


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence against accuracy.

    Attributes:
        of: what was predicted from: `votes`, `logits`, or `scores` (single responses).
        items: number of items with votes.
        bins: from low to high; bins without an item are left out.
        expected_error: mean distance of confidence and accuracy over the bins, weighted by items (ECE). Chance alone
            makes it larger than 0 where items or votes are few. None for single responses.
        brier: mean square of confidence minus being right (1 or 0; a shared lead is right in part). None likewise.
        excess: mean confidence minus accuracy: above 0, the votes agree more often than they are right. None likewise.
    """

    of: str
    items: int
    bins: tuple[CalibrationBin, ...]
    expected_error: float | None
    brier: float | None
    excess: Difference | None


def calibration(records: Sequence[ItemVotes], scalar: bool) -> Calibration | None:
    """The calibration over the items that have votes; None where there is none."""
    voted = [record for record in records if any(vote.scores is not None for vote in record.votes)]
    if not voted:
        return None
    clusters = [cluster_of(record.item) for record in voted]
    if all(len(record.item.responses) == 1 for record in voted):
        return _of_singles(voted, clusters)
    confidence, right = np.array([_confidence(record, scalar) for record in voted]).T
    bins = _bins(np.minimum((confidence * BINS + 10.0**-DECIMALS).astype(int), BINS - 1), confidence, right, clusters)
    distances = [found.right.items * abs(found.predicted - found.right.value) for found in bins]
    return Calibration(
        "logits" if scalar else "votes",
        len(voted),
        bins,
        sum(distances) / len(voted),
        float(np.mean((confidence - right) ** 2)),
        mean_difference(confidence - right, clusters),
    )


def _of_singles(voted: Sequence[ItemVotes], clusters: Sequence[str]) -> Calibration:
    scores = np.array([means[0] for record in voted if (means := mean_scores(record)) is not None])
    labels = np.array([float(record.item.label or 0) for record in voted])
    edges = np.unique(np.quantile(scores, np.arange(1, SCORE_BINS) / SCORE_BINS))
    places = edges.searchsorted(scores, "right")
    return Calibration("scores", len(voted), _bins(places, scores, labels, clusters), None, None, None)


def _confidence(record: ItemVotes, scalar: bool) -> tuple[float, float]:
    """Confidence in the leading response, and whether it is a best one: a part of 1 where several lead."""
    votes = np.array([vote.scores for vote in record.votes if vote.scores is not None], dtype=float)
    if scalar:
        powers = np.exp(votes - votes.max(axis=1, keepdims=True))
        credits = powers / powers.sum(axis=1, keepdims=True)
    else:
        first = votes == votes.max(axis=1, keepdims=True)
        credits = first / first.sum(axis=1, keepdims=True)
    shares = credits.mean(axis=0).round(DECIMALS)
    leaders = np.flatnonzero(shares == shares.max())
    return float(shares.max()), float(np.isin(leaders, record.item.best).mean())


def _bins(
    places: NDArray[np.int64], predicted: Floats, right: Floats, clusters: Sequence[str]
) -> tuple[CalibrationBin, ...]:
    found = []
    for place in np.unique(places):
        chosen = np.flatnonzero(places == place)
        share = share_of(right[chosen], np.ones(chosen.size), [clusters[index] for index in chosen])
        assert share is not None  # no bin is empty
        found.append(CalibrationBin(float(predicted[chosen].mean()), share))
    return tuple(found)
