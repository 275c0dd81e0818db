"""What a forced vote is worth: measured over the lists that have natural votes beside it.

A natural vote is signal and noise: what all votes of its list share about its responses, and the rest. Let a forced
vote have a times the signal of a natural one, and q times the variance of its noise. Then the mean of both is best
where a forced vote counts a / q, its *weight*. With equal weights, a mean that takes in a few forced votes has

    signal / noise  ~  (1 - p (1 - a)) / sqrt((1 - p + p q) / k),    p the share of forced votes,

which, for small p, is above that without them, 1 / sqrt(1 / ((1 - p) k)), where a / q is above one half.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.types import Critique

logger = logging.getLogger(__name__)

LEAST_WEIGHT = 0.5
"""Below it the mean vote is better without forced votes."""

FEWEST_FORCED = 100
"""Forced votes from which their weight is known well enough to act on it."""

REMEMBERED = 2000
"""About so many of the last votes of either kind count: the policy changes."""

LEAST_NOISE = 1 / 12
"""Variance, in points squared, of rounding to whole scores: equal votes are no certainty."""


@dataclass(slots=True)
class _Pool:
    """Votes of one kind, centred on the mean of their critique; sums over those remembered.

    Attributes:
        votes: how many.
        shared: of the products with the mean of (other) natural votes: signal.
        squares: of the squares: signal and noise.
    """

    votes: float = 0.0
    shared: float = 0.0
    squares: float = 0.0

    def add(self, vote: Sequence[float], mean: Sequence[float]) -> None:
        keep = 1 - 1 / REMEMBERED
        self.votes = self.votes * keep + 1
        self.shared = self.shared * keep + _dot(vote, mean)
        self.squares = self.squares * keep + _dot(vote, vote)


class ForcedWeight:
    """The weight of forced votes over the last lists, and whether they vote. To be used on one thread.

    Of lists of one response nothing can be told, nor of lists without two natural votes.
    """

    def __init__(self) -> None:
        self._natural, self._forced = _Pool(), _Pool()
        self._told = False

    def learn(self, critiques: Sequence[Critique]) -> None:
        """Take in all critiques of a list that could be read."""
        natural = [_centred(critique.scores) for critique in critiques if not critique.forced]
        forced = [_centred(critique.scores) for critique in critiques if critique.forced]
        if len(natural) < 2 or len(natural[0]) < 2:
            return
        totals = [sum(column) for column in zip(*natural, strict=True)]
        for vote in natural:
            self._natural.add(vote, [(all_ - own) / (len(natural) - 1) for all_, own in zip(totals, vote, strict=True)])
        for vote in forced:
            self._forced.add(vote, [total / len(natural) for total in totals])

    @property
    def weight(self) -> float | None:
        """a / q; None while nothing tells: few forced votes, or natural ones without signal."""
        natural, forced = self._natural, self._forced
        if forced.votes < FEWEST_FORCED or natural.shared <= 0:
            return None
        signal = natural.shared / natural.votes
        share = forced.shared / forced.votes / signal
        noise = max(LEAST_NOISE, natural.squares / natural.votes - signal)
        forced_noise = max(LEAST_NOISE, forced.squares / forced.votes - share**2 * signal)
        return share * noise / forced_noise

    def count(self) -> bool:
        """Whether forced votes count now. Says so in the log when they cease to for the first time."""
        weight = self.weight
        if weight is None or weight >= LEAST_WEIGHT:
            return True
        if not self._told:
            self._told = True
            logger.warning(
                "forced answers (sampling.force_answer) agree badly with the other votes on their lists: they deserve "
                "%.2f of a vote, and below %g the mean is better without them. They count as lost while that is so; "
                "raise sampling.max_tokens",
                max(0.0, weight),
                LEAST_WEIGHT,
            )
        return False


def _centred(scores: Sequence[float]) -> list[float]:
    mean = fmean(scores)
    return [score - mean for score in scores]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
