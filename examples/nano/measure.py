"""Figures about votes, comments and qualities, with bootstrap confidence intervals over items."""

from __future__ import annotations

import random
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from examples.nano.critiques import finds_best
from examples.nano.domain import ASPECTS, LEVELS, levels
from examples.nano.groups import RankedGroup

_COMMENT = re.compile(rf"({'|'.join(ASPECTS)}) ({'|'.join(LEVELS)})")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over items with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    items: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.items} items)"


@dataclass(frozen=True, slots=True)
class ParsedVote:
    """One vote: its scores, in the order of the group's responses, and the meta RM's logit if it was asked."""

    scores: tuple[float, ...]
    rating: float | None = None


def bootstrap(values: Sequence[float], *, rounds: int = 2000, seed: int = 0) -> Estimate:
    """The mean of at least one value, and the 2.5 % and 97.5 % quantiles of resampled means."""
    rng = random.Random(seed)
    means = sorted(statistics.fmean(rng.choices(values, k=len(values))) for _ in range(rounds))
    return Estimate(statistics.fmean(values), means[int(0.025 * rounds)], means[int(0.975 * rounds)], len(values))


def vote_accuracy(
    group: RankedGroup, votes: Sequence[ParsedVote], k: int, keep: int, *, rounds: int = 64, seed: int = 0
) -> float:
    """How often the sum of scores puts the best response strictly first, over random subsets of k votes.

    In each subset only the `keep` votes with the highest ratings count; ratings are not needed for keep = k.
    """
    rng = random.Random(seed)
    right = 0
    for _ in range(rounds):
        chosen = rng.sample(votes, min(k, len(votes)))
        if keep < k:
            chosen = sorted(chosen, key=lambda vote: -(vote.rating or 0.0))[:keep]
        # Scores by criteria are fractions: what is equal must not be ahead by the last digit of a sum.
        totals = [round(sum(column), 6) for column in zip(*(vote.scores for vote in chosen), strict=True)]
        right += bool(totals) and finds_best(group, totals)
    return right / rounds


def comment_hits(group: RankedGroup, order: Sequence[int], text: str) -> list[bool]:
    """For each comment in a critique that saw the responses in `order`: whether it names the true level."""
    hits = []
    for line in text.splitlines():
        match = re.match(r"Response (\d+): ", line)
        if match and 1 <= int(match[1]) <= len(order):
            truth = levels(group.task, group.responses[order[int(match[1]) - 1]])
            hits += [LEVELS[truth[aspect]] == level for aspect, level in _COMMENT.findall(line)]
    return hits


def correlation(group: RankedGroup, totals: Sequence[float]) -> float | None:
    """Pearson correlation of the votes' sums with the true qualities in a group; None where either is constant."""
    if len(set(totals)) < 2 or len(set(group.qualities)) < 2:
        return None
    return statistics.correlation(totals, group.qualities)
