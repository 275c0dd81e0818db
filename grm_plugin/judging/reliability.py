"""Reliability: how much of what separates the responses of a list is signal, and how many votes would make it enough.

The intraclass correlation of the mean votes, from the two-way table of critiques and responses: a critique that is
lenient to all of them is no noise. Agreement is not truth: a GRM with a bias agrees with itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.judging.comparing import rounds_of
from grm_plugin.types import Criterion, ListJudgement

REMEMBERED_LISTS = 2000
"""About so many of the last lists count: the policy changes, and how hard it is to judge with it."""

REMEMBERED_CRITERIA = 256
"""By name; samples may bring any number of their own, of which those seen last are remembered."""

ENOUGH = (0.8, 0.9)
"""Reliabilities that are asked for: good, and very good."""


@dataclass(frozen=True, slots=True)
class TwoWay:
    """Sums over lists of an analysis of variance of votes: t critiques of n responses each.

    Attributes:
        between: sum of squares between the responses, per vote: t times that of their means.
        between_degrees: n - 1, added up.
        within: sum of squares of what neither response nor critique explains.
        within_degrees: (t - 1) (n - 1), added up.
        votes: t (n - 1), added up: its ratio to `between_degrees` is the mean number of votes.
    """

    between: float = 0.0
    between_degrees: float = 0.0
    within: float = 0.0
    within_degrees: float = 0.0
    votes: float = 0.0

    def plus(self, other: TwoWay, kept: float = 1.0) -> TwoWay:
        """The sums of both, of which this one's count by the share `kept`."""
        return TwoWay(
            self.between * kept + other.between,
            self.between_degrees * kept + other.between_degrees,
            self.within * kept + other.within,
            self.within_degrees * kept + other.within_degrees,
            self.votes * kept + other.votes,
        )

    @property
    def of_one_vote(self) -> float | None:
        """The reliability of a single vote, 0 to 1; None where nothing tells: no list of two with two votes."""
        if not self.between_degrees or not self.within_degrees:
            return None
        between, within = self.between / self.between_degrees, self.within / self.within_degrees
        votes = self.votes / self.between_degrees
        signal = max(0.0, between - within)
        return signal / (between + (votes - 1) * within) if signal else 0.0

    def of_votes(self, k: float) -> float | None:
        """The reliability of the mean of k votes (Spearman and Brown); None as for `of_one_vote`."""
        one = self.of_one_vote
        return None if one is None else k * one / (1 + (k - 1) * one)

    def votes_for(self, reliability: float) -> int | None:
        """How many votes have a mean of this reliability, below 1; None where no number has, or nothing tells."""
        one = self.of_one_vote
        if not one:
            return None
        if one == 1.0:
            return 1
        return math.ceil(round(reliability * (1 - one) / (one * (1 - reliability)), 9))


def two_way(scores: Sequence[Sequence[float]]) -> TwoWay:
    """The sums of one list: `scores[j][i]` is what critique j gives to response i. Empty sums below two of either."""
    count = len(scores)
    n = len(scores[0]) if scores else 0
    if count < 2 or n < 2:
        return TwoWay()
    centred = [[value - fmean(row) for value in row] for row in scores]
    means = [fmean(column) for column in zip(*centred, strict=True)]
    between = count * math.fsum(mean * mean for mean in means)
    within = math.fsum((value - mean) ** 2 for row in centred for value, mean in zip(row, means, strict=True))
    return TwoWay(between, n - 1, within, (count - 1) * (n - 1), count * (n - 1))


def pooled(lists: Iterable[Sequence[Sequence[float]]]) -> TwoWay:
    """The sums of many lists; see `two_way`."""
    total = TwoWay()
    for scores in lists:
        total = total.plus(two_way(scores))
    return total


class Reliability:
    """The reliability of the last lists that were judged, pooled over them. To be used on one thread.

    Args:
        looked_at: after how many votes on a list of n responses early stopping first looks; None where it does not.
            Only the votes until then are learned from: lists that stop early are those whose votes happen to agree.
    """

    def __init__(self, looked_at: Callable[[int], int | None] = lambda n: None) -> None:
        self._looked_at = looked_at
        self._sums = TwoWay()
        self._by_criterion: OrderedDict[str, tuple[TwoWay, float]] = OrderedDict()
        """Sums and mean number of votes; those learnt from last are the last."""
        self._votes = 0.0
        """Votes that counted, in a list of the last ones on average."""

    def learn(self, lists: Sequence[ListJudgement], criteria: Sequence[Criterion] = ()) -> None:
        """Take in the kept votes of a group's lists, that were judged by these criteria.

        Its pairs (mode pairwise) are one table, of `comparing.rounds_of`. Tie-breaks tell nothing of other votes: they
        were asked for because these did not agree.
        """
        for judged in lists:
            if judged.purpose != "votes":
                continue
            kept = [critique for critique in judged.critiques if critique.kept]
            first = self._looked_at(len(judged.members))
            seen = [vote for vote in kept if first is None or vote.sample < first]
            self._learn_table([vote.scores for vote in seen], len(kept))
            for number, criterion in enumerate(criteria):
                rows = [row for vote in seen if vote.by_criterion and (row := vote.by_criterion[number]) is not None]
                self._learn_table(rows, len(kept), criterion.name)
        if pairs := [judged for judged in lists if judged.purpose == "pair"]:
            first, rounds = self._looked_at(2), rounds_of(pairs)
            votes = len(rounds)
            self._learn_table(rounds if first is None else rounds_of(pairs, before=first), votes)
            for number, criterion in enumerate(criteria):
                self._learn_table(rounds_of(pairs, number, first), votes, criterion.name)

    def _learn_table(self, rows: Sequence[Sequence[float]], votes: int, criterion: str | None = None) -> None:
        """Take in the table of one list that has so many votes, of all its scores or of those of one criterion."""
        if criterion is None:
            self._sums, self._votes = _learnt(self._sums, self._votes, rows, votes)
            return
        before = self._by_criterion.pop(criterion, (TwoWay(), 0.0))
        self._by_criterion[criterion] = _learnt(*before, rows, votes)
        if len(self._by_criterion) > REMEMBERED_CRITERIA:
            self._by_criterion.popitem(last=False)

    @property
    def sums(self) -> TwoWay:
        """What the last lists add up to."""
        return self._sums

    @property
    def of_rewards(self) -> float | None:
        """The reliability of mean votes over as many critiques as voted; None while nothing tells."""
        return self._sums.of_votes(self._votes) if self._votes else None

    def of_criterion(self, name: str) -> float | None:
        """The same of one criterion's mean votes."""
        sums, votes = self._by_criterion.get(name, (TwoWay(), 0.0))
        return sums.of_votes(votes) if votes else None


def _learnt(before: TwoWay, votes_before: float, scores: Sequence[Sequence[float]], votes: int) -> tuple[TwoWay, float]:
    """The sums, and the mean number of votes, with those of one more list."""
    sums = two_way(scores)
    if not sums.between_degrees:
        return before, votes_before
    fresh = 1 / REMEMBERED_LISTS if votes_before else 1.0
    return before.plus(sums, 1 - 1 / REMEMBERED_LISTS), votes_before + (votes - votes_before) * fresh
