"""The voting methods (greedy, @k, meta@k) and what they say about an item, computed from its K stored votes.

@k for k < K is a mean over random choices of k of the K votes. A choice takes votes from the different orders of the
responses as evenly as k allows, as the judge does. A lost vote counts as one of the k and adds no scores, as in the
service. `judging.voting` has the rule for one list; this file applies it with numpy to thousands of choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grm_plugin.batch.vote_store import ItemVotes, StoredVote

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDS = 64
"""Number of random choices of k votes per item."""

SUM_DECIMALS = 6
"""Sums of several decimal scores are rounded, so that equal ones are ties. A single score stays as it is: two logits
that differ in the ninth digit are no tie."""


@dataclass(frozen=True, slots=True)
class Method:
    """How an item is decided: `greedy` (one vote at temperature 0; here `k` is 0), `@k` (k sampled votes), or `meta@k`
    (k sampled votes of which the meta RM keeps `k_meta`).
    """

    name: str
    k: int
    k_meta: int | None = None


GREEDY = Method("greedy", 0)

SCALAR = "scalar"
"""Name of the only method of a scalar reward model."""


def methods_for(k: int, greedy: bool, rated: bool, k_metas: Sequence[int] = ()) -> list[Method]:
    """All methods that K stored votes allow: greedy, and @k and meta@k for k = 1, 2, 4 ... and K.

    Args:
        k: the number K of stored votes.
        greedy: whether there is a greedy vote.
        rated: whether a meta RM rated the votes. meta@k then keeps max(1, k // 2) of them, as the service does.
        k_metas: further numbers of votes to keep, for every larger k; keeping 1 of 8 is called `meta@8/1`.
    """
    steps = [*(step for exponent in range(k.bit_length()) if (step := 2**exponent) < k), k]
    found = [GREEDY] if greedy else []
    found += [Method(f"@{step}", step) for step in steps]
    if rated:
        found += [Method(f"meta@{step}", step, max(1, step // 2)) for step in steps if step > 1]
        found += [
            Method(f"meta@{step}/{kept}", step, kept) for step in steps for kept in sorted(set(k_metas)) if kept < step
        ]
    return found


@dataclass(frozen=True, slots=True)
class Tally:
    """The sums of scores that M methods give to one item, over R choices of votes.

    Attributes:
        totals: M x R x n sums of the kept scores, in the order of the item's responses; rounded if of several votes.
        counts: M x R numbers of votes in each sum; 0 where all votes were lost.
        by_order: M x R x 2 x n, the totals of the two orders of a pair apart from each other; None where it was not
            asked for.
        orders: M numbers, in how many orders the votes of a choice are; None as `by_order`.
    """

    totals: Floats
    counts: Ints
    by_order: Floats | None = None
    orders: Ints | None = None

    @property
    def means(self) -> Floats:
        """M x R x n mean scores of the kept votes, rounded like sums; NaN where there is none."""
        with np.errstate(invalid="ignore"):
            return _rounded(self.totals / self.counts[..., None], self.counts)


def tally_item(record: ItemVotes, methods: Sequence[Method], rng: np.random.Generator, by_order: bool = False) -> Tally:
    """The tally of every method over `ROUNDS` random choices of votes: the same choices for all, so they are paired.

    Args:
        record: an item and its votes.
        methods: M methods.
        rng: chooses the votes.
        by_order: also sum up the two orders of a pair apart from each other.
    """
    choices = _choices(record.votes, rng)
    if not by_order:
        return _tally(record, methods, choices)
    totals = [_tally(_of_order(record, first), methods, choices).totals for first in (0, 1)]
    there = len({vote.order for vote in record.votes})
    orders = np.array([1 if method is GREEDY else min(method.k, there) for method in methods])
    return replace(_tally(record, methods, choices), by_order=np.stack(totals, axis=2), orders=orders)


def _of_order(record: ItemVotes, first: int) -> ItemVotes:
    """The record with the scores of the votes that were shown another response first set to 0.

    They stay votes, so that the meta RM keeps the same ones.
    """

    def only(votes: Sequence[StoredVote]) -> tuple[StoredVote, ...]:
        return tuple(
            vote if vote.scores is None or vote.order[0] == first else replace(vote, scores=(0.0,) * len(vote.scores))
            for vote in votes
        )

    return replace(record, greedy=only(record.greedy), votes=only(record.votes))


def _tally(record: ItemVotes, methods: Sequence[Method], choices: Ints) -> Tally:
    n = len(record.item.responses)
    scores, given = _matrix(record.votes, n)
    places, unrated = _meta_places(record.votes), _unrated(record.votes)
    sums, counts = scores[choices].cumsum(axis=1), given[choices].cumsum(axis=1)
    tally = Tally(np.empty((len(methods), ROUNDS, n)), np.empty((len(methods), ROUNDS), dtype=np.int64))
    for place, method in enumerate(methods):
        if method is GREEDY:
            greedy, present = _matrix(record.greedy, n)
            found = greedy.sum(axis=0), present.sum()
        else:
            found = sums[:, method.k - 1], counts[:, method.k - 1]
        tally.totals[place], tally.counts[place] = found
        if method.k_meta is not None:
            chosen = choices[:, : method.k]
            rated = ~unrated[chosen].any(axis=1)
            kept = _best(chosen[rated], places, method.k_meta)
            tally.totals[place, rated], tally.counts[place, rated] = scores[kept].sum(axis=1), given[kept].sum(axis=1)
    return replace(tally, totals=_rounded(tally.totals, tally.counts))


def _rounded(values: Floats, counts: Ints) -> Floats:
    """Sums or means of so many votes, rounded where these are several."""
    found: Floats = np.where(counts[..., None] > 1, values.round(SUM_DECIMALS), values)
    return found


def _matrix(votes: Sequence[StoredVote], n: int) -> tuple[Floats, Ints]:
    """K x n scores with zeros for lost votes, and K numbers: 1 for a vote, 0 for a lost one."""
    scores = np.array([vote.scores or (0.0,) * n for vote in votes], dtype=np.float64).reshape(len(votes), n)
    return scores, np.array([vote.scores is not None for vote in votes], dtype=np.int64)


def _choices(votes: Sequence[StoredVote], rng: np.random.Generator) -> Ints:
    """ROUNDS x K: random permutations of the votes. For every k, the first k are spread evenly over the orders."""
    orders = {order: place for place, order in enumerate(dict.fromkeys(vote.order for vote in votes))}
    block = np.array([orders[vote.order] for vote in votes])
    # The votes of each order get the turns 0, 1, 2 ... at random. Sorted by turn, all orders take part in every turn;
    # which order comes first within a turn is random too, by a fraction added to the turn.
    noise = rng.random((ROUNDS, len(votes)))
    turns = np.empty((ROUNDS, len(votes)))
    for place in orders.values():
        members = np.flatnonzero(block == place)
        turns[:, members] = noise[:, members].argsort(axis=1).argsort(axis=1)
    first = rng.random((ROUNDS, len(orders)))[:, block]
    return (turns + first).argsort(axis=1).astype(np.int64)


def _meta_places(votes: Sequence[StoredVote]) -> Ints:
    """The place of each vote in the ranking by the meta RM, lost votes last.

    As in `grm_plugin.judging.voting.keep_best`: among equal ratings the earlier sample ranks higher.
    """
    meta = np.array([np.inf if vote.meta is None or vote.scores is None else -vote.meta for vote in votes])
    return meta.argsort(kind="stable").argsort(kind="stable")


def _unrated(votes: Sequence[StoredVote]) -> NDArray[np.bool_]:
    """Which votes have no rating although they are not lost: of a choice with such a one all votes are kept."""
    return np.array([vote.meta is None and vote.scores is not None for vote in votes], dtype=np.bool_)


def _best(choices: Ints, places: Ints, k_meta: int) -> Ints:
    """The `k_meta` votes of each choice that stand highest in the ranking."""
    best = places[choices].argsort(axis=1)[:, :k_meta]
    return np.take_along_axis(choices, best, axis=1)


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """How an item of n >= 2 responses came out: shares of the choices of votes, one per method (M values each).

    Attributes:
        right: every best response is strictly ahead. A tie is wrong, and so is a choice in which all votes are lost.
        lenient: as `right`, but ties for the first place are broken by chance, as in the paper.
        tied: a best response shares the first place with another response.
        lost: all votes of the choice are lost.

    With `pairwise` all are shares of the comparisons of a best response with another one instead: `right` those that it
    wins, `lenient` those with half a point for a tie, `tied` the ties.
    """

    right: Floats
    lenient: Floats
    tied: Floats
    lost: Floats


def outcome_of(tally: Tally, best: Sequence[int], pairwise: bool = False) -> ItemOutcome:
    """The outcome of every method on one item of several responses."""
    totals, voted = tally.totals, tally.counts > 0
    good = np.zeros(totals.shape[-1], dtype=bool)
    good[list(best)] = True
    if pairwise:
        gaps = totals[..., good][..., :, None] - totals[..., ~good][..., None, :]
        won = (gaps > 0).mean(axis=(-2, -1)) * voted
        even = (gaps == 0).mean(axis=(-2, -1)) * voted
        return ItemOutcome(*(part.mean(axis=-1) for part in (won, won + even / 2, even, ~voted)))
    right = (totals[..., good].min(axis=-1) > totals[..., ~good].max(axis=-1)) & voted
    leaders = totals == totals.max(axis=-1, keepdims=True)
    share = leaders[..., good].sum(axis=-1) / leaders.sum(axis=-1)
    # With several best responses it is not enough that one of them is first: breaking ties by chance gains nothing.
    lenient = share * voted if len(best) == 1 else right
    tied = (share > 0) & (share < 1) & voted
    return ItemOutcome(*(part.mean(axis=-1) for part in (right, lenient, tied, ~voted)))
