"""How a GRM behaved, whatever it was right about: votes that could not be read, tokens, position bias."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from grm_plugin.batch.vote_store import ItemVotes, StoredVote


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Counts and shares over all sampled votes of a store.

    Attributes:
        items: judged.
        votes: asked for.
        parsed: of these, read.
        lost: reason -> number of votes that could not be read.
        unvoted: items without a single vote.
        cut: items of which the GRM was shown less than everything.
        unrated: items with votes that the meta RM did not rate (where there is one).
        tokens_per_vote: generated, mean over sampled votes.
        tokens_per_item: generated, mean over items, without the greedy vote.
        first: share of votes with one winner in which that is the response shown first; None without such votes.
        first_by_chance: what `first` is without a position bias.
        flips: of two orders that were shown of one item and both have a winner, how often the winners differ; None
            where nothing was shown in two orders.
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
    """Counts over a store that holds at least one item; `rated`: a meta RM was to rate its votes."""
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
    """The response that is strictly ahead in the sum of these votes; None if there is none, or only one response."""
    columns = list(zip(*(vote.scores for vote in votes if vote.scores is not None), strict=True))
    totals = [sum(column) for column in columns]
    if len(totals) < 2 or totals.count(max(totals)) > 1:
        return None
    return totals.index(max(totals))


def _winners_of_orders(record: ItemVotes) -> Iterable[tuple[int, int]]:
    """The winners of every two orders that both have one."""
    orders: dict[tuple[int, ...], list[StoredVote]] = {}
    for vote in record.votes:
        orders.setdefault(vote.order, []).append(vote)
    winners = [_winner(votes) for votes in orders.values()]
    return itertools.combinations([winner for winner in winners if winner is not None], 2)


def _is_unrated(record: ItemVotes) -> bool:
    return any(vote.meta is None for vote in record.votes if vote.scores is not None)
