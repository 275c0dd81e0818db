"""Replays stored votes in random orders: what fewer of them would have said, and where a rule would have stopped.

The rules are those of the service, and see what they would see there. What all K stored votes say is the reference, not
the truth; the votes of a prefix are among them, so that errors near K are small by themselves.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.config import AdaptiveConfig, SamplingConfig
from grm_plugin.judging.reliability import TwoWay, pooled
from grm_plugin.judging.stopping import StoppingRule
from grm_plugin.types import Stopped
from grm_plugin.votes.stored_lists import StoredList, Vote

MOST_REPLAYS = 20_000
"""Lists times orders: each takes about half a millisecond."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What fewer votes say, against all K.

    Attributes:
        votes: how many were spent per list, on average.
        tokens: share of the tokens of all K.
        flips: share of the lists whose winner is another one.
        advantage_error: root mean squared error of the advantages (z-scores in the list); signs, for lists of two.
        right: share of the labelled lists whose winner is a right answer; None without labels.
        rounds: in which they were sampled, on average.
        reasons: why the votes ended -> share of the lists.
    """

    votes: float
    tokens: float
    flips: float
    advantage_error: float
    right: float | None
    rounds: float = 1.0
    reasons: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What some of a list's votes say; None without any."""

    votes: int
    tokens: int
    winner: int | None
    advantages: tuple[float, ...] | None
    rounds: int = 1
    why: Stopped = Stopped.ALL


_Play = Callable[[StoredList], Outcome]


def reliability_of(lists: Sequence[StoredList]) -> TwoWay:
    """The analysis of variance of all votes that could be read, pooled over the lists."""
    return pooled([vote.scores for vote in item.votes if vote.scores] for item in lists)


def replay_fixed(lists: Sequence[StoredList], k: int, orders: int, seed: int = 0) -> Compared:
    """What k votes say, each list's in so many random orders."""
    rng = random.Random(seed)
    return _compare(lists, orders, lambda item: _cast(_shuffled(item, rng)[:k], item))


def replay_rule(lists: Sequence[StoredList], rule: StoppingRule, orders: int, seed: int = 0) -> Compared:
    """What the votes say that a stopping rule would have spent, each list's in so many random orders."""
    rng = random.Random(seed)
    return _compare(lists, orders, lambda item: _until(rule, _shuffled(item, rng), item))


def orders_for(lists: Sequence[StoredList], wanted: int) -> int:
    """How many random orders are replayed: fewer for many lists."""
    return max(1, min(wanted, MOST_REPLAYS // len(lists)))


def _until(rule: StoppingRule, votes: Sequence[Vote], item: StoredList) -> Outcome:
    orders = len({vote.order for vote in votes if vote.order}) or None  # some lost votes of 0.1.0 have none
    stops = SamplingConfig(k=len(votes), orders=orders, adaptive=AdaptiveConfig()).looks(item.n)
    for number, stop in enumerate(stops, 1):
        scores = [vote.scores for vote in _kept(votes[:stop], item) if vote.scores]
        if scores and (why := rule.look(scores, stop / len(votes))):
            return _cast(votes[:stop], item, number, why)
    return _cast(votes, item, len(stops) + 1)


def _compare(lists: Sequence[StoredList], orders: int, play: _Play) -> Compared:
    outcomes: list[Outcome] = []
    flips, squares, right, spent = [], [], [], []
    for item in lists:
        whole = _cast(item.votes, item)
        for _ in range(orders):
            played = play(item)
            outcomes.append(played)
            spent.append((played.tokens, whole.tokens) if whole.tokens else (played.votes, whole.votes))
            if whole.winner is not None and whole.advantages is not None:
                flips.append(played.winner != whole.winner)
                there = played.advantages or (0.0,) * item.n
                squares.append(fmean((a - b) ** 2 for a, b in zip(there, whole.advantages, strict=True)))
            if item.best:
                right.append(played.winner in item.best)
    whys = [played.why for played in outcomes]
    return Compared(
        votes=fmean(played.votes for played in outcomes),
        tokens=sum(tokens for tokens, _ in spent) / max(1, sum(all_tokens for _, all_tokens in spent)),
        flips=fmean(flips) if flips else 0.0,
        advantage_error=math.sqrt(fmean(squares)) if squares else 0.0,
        right=fmean(right) if right else None,
        rounds=fmean(played.rounds for played in outcomes),
        reasons={why.value: whys.count(why) / len(whys) for why in Stopped if why in whys},
    )


def _cast(votes: Sequence[Vote], item: StoredList, rounds: int = 1, why: Stopped = Stopped.ALL) -> Outcome:
    """What a vote by these critiques says."""
    tokens = sum(vote.tokens for vote in votes)
    rows = [vote.scores for vote in _kept(votes, item) if vote.scores]
    if not rows:
        return Outcome(len(votes), tokens, None, None, rounds, why)
    means = [fmean(column) for column in zip(*rows, strict=True)]
    middle = fmean(means)
    spread = math.sqrt(fmean((mean - middle) ** 2 for mean in means))
    advantages = tuple((mean - middle) / spread if spread > 1e-9 else 0.0 for mean in means)
    return Outcome(len(votes), tokens, means.index(max(means)), advantages, rounds, why)


def _kept(votes: Sequence[Vote], item: StoredList) -> list[Vote]:
    """Those that vote: all that could be read, or the half of those drawn that the meta RM rates best."""
    read = [vote for vote in votes if vote.scores]
    if not item.rated:
        return read
    return sorted(read, key=lambda vote: -(vote.meta or 0.0))[: max(1, len(votes) // 2)]


def _shuffled(item: StoredList, rng: random.Random) -> list[Vote]:
    """The votes in a random order in which each order of the responses comes in turn, as the judge samples them."""
    by_order: dict[tuple[int, ...], list[Vote]] = {}
    for vote in item.votes:
        by_order.setdefault(vote.order, []).append(vote)
    piles = [*by_order.values()]
    rng.shuffle(piles)
    for pile in piles:
        rng.shuffle(pile)
    longest = max(map(len, piles))
    return [pile[turn] for turn in range(longest) for pile in piles if turn < len(pile)]
