"""How the GRM behaved, apart from being right or wrong: lost votes, tokens, position bias."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.batch.vote_store import ItemVotes, StoredVote


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Counts and shares over the sampled votes of a store; the greedy votes are not in them.

    Attributes:
        items: number of items.
        votes: votes asked for.
        parsed: votes that could be read.
        lost: reason -> number of votes lost for it.
        unvoted: items of which all votes were lost.
        cut: items with responses that were shown to the GRM only in part.
        unrated: items with votes that the meta RM did not rate (0 without a meta RM).
        tokens_per_vote: tokens generated, mean over votes.
        tokens_per_item: tokens generated, mean over items.
        first: of the votes in which one response is ahead, the share in which it is the one shown first; None where
            there is no such vote.
        first_by_chance: the value of `first` without a position bias.
        flips: of all pairs of orders of an item in which some response is ahead, the share in which it is not the same
            one; None where there is no such pair.
    """

    items: int
    votes: int
    parsed: int
    lost: Mapping[str, int]
    unvoted: int
    cut: int
    unrated: int
    tokens_per_vote: float
    tokens_per_item: float
    first: float | None
    first_by_chance: float | None
    flips: float | None


def diagnose(records: Sequence[ItemVotes], rated: bool) -> Diagnostics:
    """The diagnostics of at least one record; `rated` says whether a meta RM was to rate the votes."""
    votes = [vote for record in records for vote in record.votes]
    wins = [(vote.order[0] == winner, len(vote.order)) for vote in votes if (winner := _winner([vote])) is not None]
    changes = [first != second for record in records for first, second in _winners_of_orders(record)]
    tokens = sum(vote.tokens for vote in votes)
    return Diagnostics(
        items=len(records),
        votes=len(votes),
        parsed=sum(vote.scores is not None for vote in votes),
        lost=dict(Counter(vote.reason for vote in votes if vote.scores is None).most_common()),
        unvoted=sum(all(vote.scores is None for vote in record.votes) for record in records),
        cut=sum(any(record.cut) for record in records),
        unrated=sum(_is_unrated(record) for record in records) if rated else 0,
        tokens_per_vote=tokens / max(1, len(votes)),
        tokens_per_item=tokens / len(records),
        first=fmean(first for first, _ in wins) if wins else None,
        first_by_chance=fmean(1 / n for _, n in wins) if wins else None,
        flips=fmean(changes) if changes else None,
    )


def _winner(votes: Iterable[StoredVote]) -> int | None:
    """The response that is strictly ahead in the sum of these votes; None on a tie, without votes or rivals."""
    columns = list(zip(*(vote.scores for vote in votes if vote.scores is not None), strict=True))
    totals = [sum(column) for column in columns]
    if len(totals) < 2 or totals.count(max(totals)) > 1:
        return None
    return totals.index(max(totals))


def _winners_of_orders(record: ItemVotes) -> Iterable[tuple[int, int]]:
    """The two winners of every pair of orders in which some response is ahead."""
    orders: dict[tuple[int, ...], list[StoredVote]] = {}
    for vote in record.votes:
        orders.setdefault(vote.order, []).append(vote)
    winners = [_winner(votes) for votes in orders.values()]
    return itertools.combinations([winner for winner in winners if winner is not None], 2)


def _is_unrated(record: ItemVotes) -> bool:
    return any(vote.meta is None for vote in record.votes if vote.scores is not None)
