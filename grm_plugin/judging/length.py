"""Length: how far rewards go with the length of responses, and a penalty on those longer than their siblings.

A length is that of the whole response in characters, as the policy wrote it: what it was shown as may be cut. It is
held against the mean length of the group's responses that have votes, `relative`: prompts that ask for long answers
count like those that ask for short ones, and responses of nearly one length are treated nearly alike, which the group's
standard deviation or range would pull apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.types import MIN_SCORE

REMEMBERED_GROUPS = 2000
"""About so many of the last groups count: the policy changes, and what the GRM makes of its lengths."""

NO_SPREAD = 1e-16
"""Sums of squares below this are rounding errors."""


def relative(lengths: Sequence[int]) -> list[float]:
    """How much longer each is than their mean, as a share of it: -1 for an empty one, 1 for twice the mean."""
    if not any(lengths):
        return [0.0] * len(lengths)
    mean = sum(lengths) / len(lengths)
    return [length / mean - 1 for length in lengths]


def penalised(means: Sequence[float], lengths: Sequence[int], penalty: float) -> list[float]:
    """The means (1..10) of one group's responses, of which those longer than the group's mean keep a part.

    What a mean has above the lowest score is divided by 1 + penalty x `relative` length: at penalty 1 a response twice
    as long as the mean keeps half of it. A share and not a number of points, so that no bad response gains on a good
    one by being short, and what is best at its length stays best (GR3, arXiv 2603.10535, finds that of additive
    penalties). Nothing is added to short ones: a policy must not be paid for saying less and less.

    Args:
        means: of responses that have votes, before normalising.
        lengths: of the same, in characters.
        penalty: at least 0, which changes nothing.
    """
    return [
        mean if longer <= 0 or not penalty else MIN_SCORE + (mean - MIN_SCORE) / (1 + penalty * longer)
        for mean, longer in zip(means, relative(lengths), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Products:
    """Sums over groups of products of distances from the group's means.

    Attributes:
        together: relative length times mean.
        lengths: squares of relative lengths.
        means: squares of means.
    """

    together: float = 0.0
    lengths: float = 0.0
    means: float = 0.0

    def plus(self, other: Products, kept: float = 1.0) -> Products:
        """The sums of both, of which this one's count by the share `kept`."""
        return Products(
            self.together * kept + other.together,
            self.lengths * kept + other.lengths,
            self.means * kept + other.means,
        )

    @property
    def correlation(self) -> float | None:
        """Pearson's, inside groups and pooled over them, -1 to 1; None where all lengths or all means are alike."""
        if min(self.lengths, self.means) < NO_SPREAD:
            return None
        return max(-1.0, min(1.0, self.together / math.sqrt(self.lengths) / math.sqrt(self.means)))


def products(means: Sequence[float], lengths: Sequence[int]) -> Products:
    """The sums of one group; see `Products`. Empty sums below two responses."""
    if len(means) < 2:
        return Products()
    longer, middle = relative(lengths), fmean(means)
    better = [mean - middle for mean in means]
    return Products(
        math.fsum(one * other for one, other in zip(longer, better, strict=True)),
        math.fsum(one * one for one in longer),
        math.fsum(other * other for other in better),
    )


class LengthCorrelation:
    """The correlation of rewards with lengths over the last groups that were judged. To be used on one thread."""

    def __init__(self) -> None:
        self._sums = Products()

    def learn(self, means: Sequence[float], lengths: Sequence[int]) -> None:
        """Take in a group: the means of its responses that have votes, and their lengths."""
        if len(means) > 1:
            self._sums = self._sums.plus(products(means, lengths), 1 - 1 / REMEMBERED_GROUPS)

    @property
    def of_rewards(self) -> float | None:
        """The correlation, -1 to 1; None while nothing tells."""
        return self._sums.correlation
