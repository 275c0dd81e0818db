"""Early stopping: when are the votes on a list enough?

All responses of a list are scored by one critique, so that a lenient one moves them together: both rules look at
differences inside a critique, and neither minds a constant that a critique adds, or how responses are numbered. Both
are looked at a few times only, at a quarter, half and three quarters of the votes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Protocol

from grm_plugin.config import AdaptiveConfig
from grm_plugin.config.sections import FEWEST_FOR_ADVANTAGE, FEWEST_VOTES
from grm_plugin.judging.student import student_quantile
from grm_plugin.types import Stopped

Scores = Sequence[Sequence[float]]
"""Of the critiques that vote: `scores[j][i]` is what critique j gives to response i."""

SMALLEST_SD = 0.25
"""Standard deviation of a difference of two whole scores, at least: equal votes are no certainty."""


class StoppingRule(Protocol):
    """Says whether further votes on a list are worth their cost."""

    def look(self, scores: Scores, share: float) -> Stopped | None:
        """Why the votes are enough; None where they are not.

        Args:
            scores: of the critiques that would vote now; all of n >= 1 responses.
            share: of the k votes, how many have been drawn, above 0 and below 1.
        """
        ...


def rule_of(config: AdaptiveConfig) -> StoppingRule:
    """The rule for `sampling.adaptive`."""
    winner = WinnerKnown(config.flip)
    return winner if config.goal == "winner" else AdvantageKnown(config.tolerance, winner)


@dataclass(frozen=True, slots=True)
class WinnerKnown:
    """Stop when all k votes would hardly name another winner: stochastic curtailment on paired differences.

    The leader is compared with every other response b by D, the difference of their scores in each critique. With t of
    k votes drawn, normal differences and nothing known of their mean before, the sum of those that are left has mean
    (k - t) mean(D) and variance sd(D)^2 (k - t) k / t. So b overtakes the leader with at most the probability `flip`
    where

        mean(D) / (sd(D) / sqrt(t))  >=  t_(t - 1)(1 - flip) * sqrt(1 - t / k).

    That is a prediction of the vote of all k critiques, not of the truth: of a near tie some winner is named, and
    only responses whose votes are level to the end have all k asked for.

    Args:
        flip: probability, per look and rival, above 0 and below 0.5.
    """

    flip: float

    def look(self, scores: Scores, share: float) -> Stopped | None:
        count = len(scores)
        if count < FEWEST_VOTES or len(scores[0]) < 2:
            return None
        needed = student_quantile(1 - self.flip, count - 1) * math.sqrt(1 - share)
        totals = [math.fsum(column) for column in zip(*scores, strict=True)]
        leader = totals.index(max(totals))
        for rival in range(len(totals)):
            if rival != leader and _lead([row[leader] - row[rival] for row in scores]) < needed:
                return None
        return Stopped.WINNER


@dataclass(frozen=True, slots=True)
class AdvantageKnown:
    """Stop when the group-normalised advantages of a list are precise, or will not become so.

    With m the mean votes of n responses, A = (m - mean(m)) / sd(m), and Y the scores less their critique's mean, the
    squared error of A, averaged over the responses, is (delta method)

        [ sum_i var(Y_i) - var(sum_i A_i Y_i) / n ] / (t n s^2),    s^2 = sd(m)^2 - sum_i var(Y_i) / (t n).

    For independent noise of standard deviation e that is (e / s)^2 (n - 2) / (n t). Where s^2, what is left of the
    spread without the noise, is not above 0, the responses are tied as far as the votes can tell, and k votes would not
    part them: futile. For n = 2 the advantage is a sign, so `winner` decides.

    Args:
        tolerance: root mean squared error of an advantage, in standard deviations of the group.
        winner: for lists of two.
    """

    tolerance: float
    winner: WinnerKnown

    def look(self, scores: Scores, share: float) -> Stopped | None:
        n = len(scores[0]) if scores else 0
        if n == 2:
            return self.winner.look(scores, share)
        if len(scores) < FEWEST_FOR_ADVANTAGE or n < 3:
            return None
        error = advantage_error(scores)
        if error is None:
            return Stopped.FUTILE
        return Stopped.PRECISE if error <= self.tolerance else None


def advantage_error(scores: Scores) -> float | None:
    """The root mean squared error of the normalised advantages of n >= 3 responses after t >= 2 votes.

    None where the spread of the mean votes is not above what noise alone would make.
    """
    count, n = len(scores), len(scores[0])
    centred = [[value - fmean(row) for value in row] for row in scores]
    means = [fmean(column) for column in zip(*centred, strict=True)]
    spread = math.fsum(mean * mean for mean in means) / n
    noise = math.fsum(variance(column) for column in zip(*centred, strict=True))
    signal = spread - noise / (count * n)
    if signal <= 0:
        return None
    advantages = [mean / math.sqrt(spread) for mean in means]
    along = variance([math.fsum(a * y for a, y in zip(advantages, row, strict=True)) for row in centred])
    return math.sqrt(max(0.0, noise - along / n) / (count * n * signal))


def _lead(differences: Sequence[float]) -> float:
    """The mean of differences in standard errors of it."""
    spread = max(SMALLEST_SD, math.sqrt(variance(differences)))
    return fmean(differences) / (spread / math.sqrt(len(differences)))
