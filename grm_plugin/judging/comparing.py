"""Comparing: which pairs of a group are put before the GRM in mode pairwise, and what its votes say of each."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.config.modes import Comparisons
from grm_plugin.judging.normalize import from_unit_interval
from grm_plugin.types import Critique, Group, ListJudgement

AHEAD, LEVEL, BEHIND = 1.0, 0.5, 0.0
"""What a vote on a pair is worth to the first of the two."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What the kept votes on one pair say: of `votes` >= 1 the first response has won `won`, ties half."""

    first: int
    second: int
    won: float
    votes: int


def pair_count(n: int, comparisons: Comparisons) -> int:
    """How many pairs of n responses are compared."""
    pairs = n * (n - 1) // 2
    return pairs if comparisons == "all" else min(n, pairs)


def pairs_of(group: Group, members: Sequence[int], comparisons: Comparisons, seed: int | None) -> list[tuple[int, int]]:
    """The pairs of responses that are compared; none of fewer than two.

    `circular`: every response and the next one in a circle. However many there are, one can be reached from any other
    by responses that were compared. With a seed the circle depends on the texts only, and not on how they are numbered.
    """
    if comparisons == "all" or len(members) < 3:
        return list(itertools.combinations(members, 2))
    circle = sorted(members, key=lambda member: (group.responses[member], member))
    texts = [group.responses[member] for member in circle]
    rng = random.SystemRandom() if seed is None else random.Random(f"{seed} {texts}")
    rng.shuffle(circle)
    return [(circle[place - 1], circle[place]) for place in range(len(circle))]


def worths(judged: ListJudgement, criterion: int | None = None, before: int | None = None) -> list[float]:
    """What each kept vote on a pair is worth to the first of the two, in the order in which they were asked for; to the
    second it is worth 1 less that. None of a list that is no pair.

    Args:
        judged: the votes.
        criterion: its number, where the votes by one of the criteria are asked for; those that could not be read are
            left out.
        before: takes only votes whose number is smaller; None takes all.
    """
    if len(judged.members) != 2:
        return []
    found = []
    for critique in sorted(judged.critiques, key=lambda critique: critique.sample):
        scores = critique.scores if criterion is None else _by(critique, criterion)
        if critique.kept and scores is not None and (before is None or critique.sample < before):
            first, second = scores
            found.append(AHEAD if first > second else BEHIND if first < second else LEVEL)
    return found


def _by(critique: Critique, criterion: int) -> tuple[float, ...] | None:
    return critique.by_criterion[criterion] if criterion < len(critique.by_criterion) else None


def compared(lists: Sequence[ListJudgement], criterion: int | None = None) -> list[Compared]:
    """What the votes on pairs say, for each pair with votes (see `worths`); pairs whose votes are all lost are left
    out."""
    found = []
    for judged in lists:
        if votes := worths(judged, criterion):
            first, second = judged.members
            found.append(Compared(first, second, math.fsum(votes), len(votes)))
    return found


def shares_won(pairs: Sequence[Compared]) -> dict[int, float]:
    """Borda's count, 0 to 1: the mean share of votes won over all responses that one was compared with."""
    shares: dict[int, list[float]] = defaultdict(list)
    for pair in pairs:
        share = pair.won / pair.votes
        shares[pair.first].append(share)
        shares[pair.second].append(1 - share)
    return {member: fmean(won) for member, won in shares.items()}


def rounds_of(
    lists: Sequence[ListJudgement], criterion: int | None = None, before: int | None = None
) -> list[list[float]]:
    """The comparisons of a group as a table, like that of the critiques of a list, for `reliability.two_way`.

    Row j holds, for each response, the share of its comparisons that it has won by the j-th vote on each pair, on the
    scale of scores. There are as many rows as every pair with votes has votes. The arguments are those of `worths`.
    """
    votes = [(judged.members, found) for judged in lists if (found := worths(judged, criterion, before))]
    rows = []
    for number in range(min((len(found) for _, found in votes), default=0)):
        shares = shares_won([Compared(first, second, found[number], 1) for (first, second), found in votes])
        rows.append([from_unit_interval(shares[member]) for member in sorted(shares)])
    return rows
