"""Bradley-Terry strengths from votes on pairs, with a ridge: finite for any votes.

Response i is ahead of j with probability 1 / (1 + exp(s_j - s_i)) (Bradley and Terry, Biometrika 39, 1952). The
strengths s maximise

    sum over pairs of  won_ij log p_ij + (votes_ij - won_ij) log p_ji    -    sum_i s_i^2 / (2 PRIOR_SD^2),

where a tie is half a vote for each. Without the last term, a normal distribution of strengths before any vote, one that
has won all of its votes would be infinitely strong, and two that no chain of comparisons connects could be anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from grm_plugin.judging.comparing import Compared

PRIOR_SD = 1.0
"""Standard deviation of strengths before any vote: one of them is odds of 2.7 to 1 against a middling response."""

PRECISE = 1e-9
"""Strengths that moved by less in a whole pass are final."""

MOST_PASSES = 1000

DIGITS = 6
"""Of a probability of being ahead, after the point: what is left of the passes must not part true ties."""


def strengths(pairs: Sequence[Compared]) -> dict[int, float]:
    """The strength of every response that was compared, in log-odds; their mean is 0.

    One response after the other is moved up the slope, by log(1 + slope / curvature): the curvature of a logistic curve
    grows by at most a factor e^d over a step d, so no step goes too far, and near the top it is Newton's.
    """
    against: dict[int, list[tuple[int, float, int]]] = {}
    for pair in pairs:
        against.setdefault(pair.first, []).append((pair.second, pair.won, pair.votes))
        against.setdefault(pair.second, []).append((pair.first, pair.votes - pair.won, pair.votes))
    found = dict.fromkeys(sorted(against), 0.0)
    for _ in range(MOST_PASSES):
        moved = 0.0
        for member in found:
            step = _step(found, member, against[member])
            found[member] += step
            moved = max(moved, abs(step))
        middle = fmean(found.values()) if found else 0.0
        # Votes do not tell a strength that all have in common, and before them it is 0.
        found = {member: strength - middle for member, strength in found.items()}
        if moved < PRECISE:
            break
    return found


def chances_of(pairs: Sequence[Compared]) -> dict[int, float]:
    """The probability of being ahead of another response, averaged over all others that were compared: 0 to 1."""
    found = strengths(pairs)
    return {
        member: round(fmean(_ahead(mine, other) for rival, other in found.items() if rival != member), DIGITS)
        for member, mine in found.items()
    }


def _step(found: dict[int, float], member: int, against: Sequence[tuple[int, float, int]]) -> float:
    mine = found[member]
    slope, curvature = -mine / PRIOR_SD**2, 1 / PRIOR_SD**2
    for rival, won, votes in against:
        chance = _ahead(mine, found[rival])
        slope += won - votes * chance
        curvature += votes * chance * (1 - chance)
    return math.copysign(math.log1p(abs(slope) / curvature), slope)


def _ahead(mine: float, other: float) -> float:
    """The probability that one of strength `mine` is ahead of one of strength `other`."""
    return 1 / (1 + math.exp(other - mine))
