"""Whether the order in which the responses are shown changes who wins, told apart from the noise of sampling.

Two votes on one item may have different winners because they saw different orders, or because sampled votes differ
anyway. So pairs of single votes of one item are compared: pairs from different orders, and, as the baseline, pairs from
the same order. Where the order does not matter, both kinds of pairs have different winners equally often, and the
difference is zero on average, however noisy the votes are. For two responses whose two orders have equally many votes
it estimates the mean square of how far the order moves the chance of the first response to win.

A vote in which the first place is tied has no winner, and is in no pair; nor is one whose order is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grm_plugin.batch.statistics.clusters import cluster_of
from grm_plugin.batch.statistics.shares import Difference, Share, mean_difference, share_of
from grm_plugin.batch.vote_store import ItemVotes, StoredVote


@dataclass(frozen=True, slots=True)
class OrderFlips:
    """How often two votes of one item have different winners. Every item weighs the same.

    Attributes:
        different: among pairs from different orders.
        same: among pairs from the same order; None where no item has pairs of both kinds.
        effect: `different` minus `same`, over the items that have pairs of both kinds; None where there is none. Then
            `different` and `same` are over these items too.
    """

    different: Share
    same: Share | None
    effect: Difference | None


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Of one item: pairs of votes, and those with different winners; from different orders and from the same one."""

    different: int
    different_flips: int
    same: int
    same_flips: int
    cluster: str


def order_flips(records: Iterable[ItemVotes]) -> OrderFlips | None:
    """The flips over all items with votes in different orders; None where there is no such item."""
    found = [_pairs(record) for record in records]
    both = [pairs for pairs in found if pairs.different and pairs.same]
    used = both or found
    different = _share([pairs.different_flips for pairs in used], [pairs.different for pairs in used], used)
    if different is None:
        return None
    if not both:
        return OrderFlips(different, None, None)
    same = _share([pairs.same_flips for pairs in both], [pairs.same for pairs in both], both)
    effects = [pairs.different_flips / pairs.different - pairs.same_flips / pairs.same for pairs in both]
    return OrderFlips(different, same, mean_difference(effects, [pairs.cluster for pairs in both]))


def winner_of(vote: StoredVote) -> int | None:
    """The response that is strictly ahead in a vote; None on a tie, in a lost vote, or without rivals."""
    scores = vote.scores or ()
    if len(scores) < 2 or scores.count(max(scores)) > 1:
        return None
    return scores.index(max(scores))


def _pairs(record: ItemVotes) -> _Pairs:
    """Counted by winner and order, since an item with 1,000 votes has half a million pairs."""
    won = Counter(
        (vote.order, winner) for vote in record.votes if vote.order and (winner := winner_of(vote)) is not None
    )
    by_order: Counter[tuple[int, ...]] = Counter()
    by_winner: Counter[int] = Counter()
    for (order, winner), count in won.items():
        by_order[order] += count
        by_winner[winner] += count
    same, same_agree = _choose_two(by_order.values()), _choose_two(won.values())
    different = _choose_two([won.total()]) - same
    different_agree = _choose_two(by_winner.values()) - same_agree
    return _Pairs(different, different - different_agree, same, same - same_agree, cluster_of(record.item))


def _choose_two(counts: Iterable[int]) -> int:
    return sum(count * (count - 1) // 2 for count in counts)


def _share(flips: Sequence[int], pairs: Sequence[int], items: Sequence[_Pairs]) -> Share | None:
    return share_of(flips, pairs, [item.cluster for item in items])
