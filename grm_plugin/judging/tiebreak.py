"""Tie-breaks: which responses of a list its votes do not separate, and what comparing them as pairs adds.

Only neighbours in a list's ranking are compared, so a list of n costs at most n - 1 pairs. And only members of one
list: scores of two lists do not share their critiques, and nothing tells how far such a difference can be trusted.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance

from grm_plugin.judging.normalize import to_unit_interval
from grm_plugin.judging.reliability import two_way
from grm_plugin.judging.rewards import Combined, first_with_votes
from grm_plugin.judging.stopping import SMALLEST_SD
from grm_plugin.judging.student import student_quantile
from grm_plugin.types import MAX_SCORE, MIN_SCORE, Criterion, Group, ListJudgement, Reward

UNKNOWN_SD = 2.0
"""Standard deviation of a difference of two scores where a single vote says nothing of it."""

SHARE_OF_A_GAP = 1 / 3
"""How far tied responses may move into the gap to the next one that their votes do separate from them."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How far the first of two responses is ahead of the second, in points of 1 to 10, and the squared standard error
    of that."""

    points: float
    error: float


def tied_neighbours(group: Group, judged: ListJudgement, flip: float) -> list[tuple[int, int]]:
    """Neighbours in a list's ranking whose votes do not separate, as indices in the group; the better one first.

    Two are separate where their mean difference is at least t_(votes - 1)(1 - flip) standard errors of it: paired
    differences, so that a lenient critique is no noise. A list without a vote has none.
    """
    ranking = _ranking(group, judged)
    rows = _rows(judged)
    places = {member: place for place, member in enumerate(judged.members)}
    return [
        (better, worse)
        for better, worse in itertools.pairwise(ranking)
        if not _separate([row[places[better]] - row[places[worse]] for row in rows], flip)
    ]


def with_tiebreaks(
    group: Group, raw: Sequence[Reward], lists: Sequence[ListJudgement], criteria: Sequence[Criterion] = ()
) -> Combined:
    """Rewards without their values, from the lists of a group and from the pairs that were compared besides.

    What a response got for each of the criteria is that of its list.

    Args:
        group: what was judged.
        raw: what each response has without votes.
        lists: those of the first look, and the `tiebreak` ones.
        criteria: that the votes were given by.
    """
    pairs = [judged for judged in lists if judged.purpose == "tiebreak"]
    whole = [judged for judged in lists if judged.purpose != "tiebreak"]
    rewards, stopped = first_with_votes(raw, whole, criteria)
    for judged in pairs:
        for member in judged.members:
            rewards[member] = _with_cost(rewards[member], judged)
    differences = {(pair.members[0], pair.members[1]): found for pair in pairs if (found := _difference(pair))}
    for judged in whole:
        for member, mean in combined(group, judged, differences).items():
            rewards[member] = replace(rewards[member], mean=mean, unit_mean=to_unit_interval(mean))
    return rewards, stopped


def combined(
    group: Group, judged: ListJudgement, differences: Mapping[tuple[int, int], Difference]
) -> dict[int, float]:
    """The mean of each response that was compared, from the votes on its list and from the pairs.

    Of a run of neighbours that were compared, the means x minimise

        sum_i (x_i - m_i)^2 / v    +    sum_pairs (x_i - x_j - d_ij)^2 / v_ij,

    with m the mean votes and v their squared standard error (the list's, without what a critique gives to all alike),
    d the differences in the pairs and v_ij theirs. Responses that the votes did separate keep their order: a run is
    moved as a whole by a smaller share of its way where it would leave its place.
    """
    ranking = [member for member in _ranking(group, judged) if judged.votes[judged.members.index(member)]]
    means = {member: vote.mean for member, vote in zip(judged.members, judged.votes, strict=True) if vote is not None}
    error = _error_of_means(judged)
    found: dict[int, float] = {}
    for start, end in _runs(ranking, differences):
        run = ranking[start:end]
        solved = _solve(
            [means[member] for member in run], error, [differences[pair] for pair in itertools.pairwise(run)]
        )
        above = means[ranking[start - 1]] if start else None
        below = means[ranking[end]] if end < len(ranking) else None
        found |= _in_place({member: means[member] for member in run}, solved, above, below)
    return found


def _ranking(group: Group, judged: ListJudgement) -> list[int]:
    """The members with votes, the best first; equal means by their texts: how they are numbered must not matter."""
    means = {member: vote.mean for member, vote in zip(judged.members, judged.votes, strict=True) if vote is not None}
    return sorted(means, key=lambda member: (-means[member], group.responses[member], member))


def _rows(judged: ListJudgement) -> list[tuple[float, ...]]:
    return [critique.scores for critique in judged.critiques if critique.kept]


def _separate(differences: Sequence[float], flip: float) -> bool:
    if len(differences) < 2:
        return False
    needed = student_quantile(1 - flip, len(differences) - 1)
    return fmean(differences) >= needed * math.sqrt(_error(differences))


def _error(differences: Sequence[float]) -> float:
    """The squared standard error of the mean of some differences of whole scores."""
    if len(differences) < 2:
        return UNKNOWN_SD**2
    return max(SMALLEST_SD**2, variance(differences)) / len(differences)


def _error_of_means(judged: ListJudgement) -> float:
    """The squared standard error of a mean vote of the list, but for what its critiques give to all responses alike.

    One for all of them: a few votes tell too little of each.
    """
    rows = _rows(judged)
    sums = two_way(rows)
    if not sums.within_degrees:
        return UNKNOWN_SD**2 / 2
    return max(SMALLEST_SD**2 / 2, sums.within / sums.within_degrees) / len(rows)


def _difference(pair: ListJudgement) -> Difference | None:
    differences = [row[0] - row[1] for row in _rows(pair)]
    return Difference(fmean(differences), _error(differences)) if differences else None


def _with_cost(reward: Reward, pair: ListJudgement) -> Reward:
    """The reward with what a pair has cost."""
    kept = sum(critique.kept for critique in pair.critiques)
    return replace(
        reward,
        votes_asked=reward.votes_asked + pair.asked,
        votes_parsed=reward.votes_parsed + len(pair.critiques),
        votes_kept=reward.votes_kept + kept,
        votes_forced=reward.votes_forced + sum(critique.forced for critique in pair.critiques if critique.kept),
        votes_tiebreak=reward.votes_tiebreak + pair.asked,
        tokens=reward.tokens + pair.tokens / len(pair.members),
    )


def _runs(ranking: Sequence[int], differences: Mapping[tuple[int, int], Difference]) -> list[tuple[int, int]]:
    """Start and end in the ranking of each run of two or more neighbours that were compared."""
    runs, start = [], 0
    for place in range(1, len(ranking) + 1):
        if place == len(ranking) or (ranking[place - 1], ranking[place]) not in differences:
            if place - start > 1:
                runs.append((start, place))
            start = place
    return runs


def _solve(means: Sequence[float], error: float, differences: Sequence[Difference]) -> list[float]:
    """The least squares of `combined` for one run: each response meets its two neighbours only, so elimination takes
    one pass down and one up."""
    links = [1 / difference.error for difference in differences]
    pulls = [difference.points / difference.error for difference in differences]
    diagonal, right = [], []
    for place, mean in enumerate(means):
        below, above = links[place : place + 1], links[place - 1 : place] if place else []
        diagonal.append(1 / error + sum(below) + sum(above))
        right.append(mean / error + sum(pulls[place : place + 1]) - (pulls[place - 1] if place else 0.0))
    for place in range(1, len(means)):
        factor = links[place - 1] / diagonal[place - 1]
        diagonal[place] -= factor * links[place - 1]
        right[place] += factor * right[place - 1]
    found = [right[-1] / diagonal[-1]]
    for place in range(len(means) - 2, -1, -1):
        found.append((right[place] + links[place] * found[-1]) / diagonal[place])
    return found[::-1]


def _in_place(
    means: Mapping[int, float], solved: Sequence[float], above: float | None, below: float | None
) -> dict[int, float]:
    """The run's solved means, or so much of the way to them as keeps its place between its neighbours."""
    before = [*means.values()]
    top = MAX_SCORE if above is None else before[0] + SHARE_OF_A_GAP * (above - before[0])
    bottom = MIN_SCORE if below is None else before[-1] - SHARE_OF_A_GAP * (before[-1] - below)
    share = 1.0
    for old, new in zip(before, solved, strict=True):
        if new > top:
            share = min(share, (top - old) / (new - old))
        elif new < bottom:
            share = min(share, (old - bottom) / (old - new))
    moved = (old + share * (new - old) for old, new in zip(before, solved, strict=True))
    return {member: min(max(mean, bottom), top) for member, mean in zip(means, moved, strict=True)}
