"""Adaptive sampling: when may the judge stop drawing votes?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from grm_plugin.types import Vote


class RankingSettled:
    """Stop when neighbours in the ranking differ by `z` standard errors of their difference.

    The judge looks after every round of `sampling.adaptive.batch` votes.

    Votes are treated as independent. With fewer than two votes per response, or one response, nothing is settled;
    two responses that never vary and never differ stay unsettled (a tie is not evidence).
    """

    def __init__(self, z: float) -> None:
        self.z = z

    def settled(self, votes: Sequence[Vote | None]) -> bool:
        """True when further votes are not worth their cost. `votes` holds what is in so far, one per response."""
        present = [vote for vote in votes if vote is not None and len(vote.scores) >= 2]
        if len(present) < len(votes) or len(present) < 2:
            return False
        ranked = sorted(present, key=lambda vote: vote.mean)
        return all(
            high.mean - low.mean > self.z * math.sqrt(_squared_error(low) + _squared_error(high))
            for low, high in itertools.pairwise(ranked)
        )


def _squared_error(vote: Vote) -> float:
    return vote.spread**2 / (len(vote.scores) - 1)
