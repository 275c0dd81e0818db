"""How the GRM behaved, apart from being right or wrong: lost votes, tokens, position bias."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.evals.bias.order_flips import order_flips, winner_of
from grm_plugin.judging.reliability import ENOUGH, pooled


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
        flips: of the pairs of votes of one item that saw different orders, the share with different winners
            (`order_flips`); None where there is no such pair.
        flips_same_order: likewise, of the pairs that saw the same order: what sampling alone does.
        order_effect: `flips` minus `flips_same_order`: what the order does; 0 without a position bias. Both are None
            where no item has pairs of both kinds.
        order_effect_ci95: its 95 % interval.
        reliability: of a single vote (`judging.reliability`); None where no list of two has two votes.
        votes_for: reliability that is asked for, such as "0.8" -> votes whose mean has it; None where none has.
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
    flips_same_order: float | None
    order_effect: float | None
    order_effect_ci95: tuple[float, float] | None
    reliability: float | None = None
    votes_for: Mapping[str, int | None] = field(default_factory=dict)


def diagnose(records: Sequence[ItemVotes], rated: bool) -> Diagnostics:
    """The diagnostics of at least one record; `rated` says whether a meta RM was to rate the votes."""
    votes = [vote for record in records for vote in record.votes]
    wins = [
        (vote.order[0] == winner, len(vote.order))
        for vote in votes
        if vote.order and (winner := winner_of(vote)) is not None
    ]
    flips = order_flips(records)
    effect = flips.effect if flips else None
    tokens = sum(vote.tokens for vote in votes)
    reliable = pooled([vote.scores for vote in record.votes if vote.scores] for record in records)
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
        flips=flips.different.value if flips else None,
        flips_same_order=flips.same.value if flips and flips.same else None,
        order_effect=effect.value if effect else None,
        order_effect_ci95=effect.ci95 if effect else None,
        reliability=reliable.of_one_vote,
        votes_for={f"{wanted:g}": reliable.votes_for(wanted) for wanted in ENOUGH},
    )


def _is_unrated(record: ItemVotes) -> bool:
    return any(vote.meta is None for vote in record.votes if vote.scores is not None)
