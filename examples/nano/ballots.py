"""Collects the votes of the nano GRM on ranked groups: one greedy, and 32 at temperature 0.5 over balanced orders.

Groups of three get 30, ten for each of three orders.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from examples.nano.batches import PROMPTS
from examples.nano.groups import RankedGroup
from examples.nano.measure import Ballot, comment_hits
from examples.nano.offline import chat, rate
from grm_plugin.judging.orders import Order, balanced_orders
from grm_plugin.judging.parsing import parse
from grm_plugin.judging.prompts import draw_marker
from grm_plugin.types import Completion, Conversation, Group, Message, Scores

VOTES = 32


@dataclass
class Count:
    """The ballots of one group and what was counted on the way; `meta_chats[i]` shows ballot i to the meta RM."""

    group: RankedGroup
    greedy: list[Ballot] = field(default_factory=list)
    ballots: list[Ballot] = field(default_factory=list)
    meta_chats: list[Conversation] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


def collect(engine: Any, groups: Sequence[RankedGroup], rng: random.Random) -> list[Count]:
    """Asks for 32 votes per group (all groups have the same n); those that cannot be parsed are not in `ballots`."""
    n = len(groups[0].responses)
    counts = [Count(group) for group in groups]
    asked = [Group((Message("user", group.task.prompt),), group.responses) for group in groups]
    shown = [
        (index, order, draw_marker(rng)) for index in range(len(groups)) for order in balanced_orders(n, max(2, n), rng)
    ]
    chats = [PROMPTS.listwise(asked[index], order, marker).messages for index, order, marker in shown]
    per_order = VOTES * len(groups) // len(shown)
    greedy, sampled = chat(engine, chats, 1, 0.0), chat(engine, chats, per_order, 0.5)
    for (index, order, marker), (single,), completions in zip(shown, greedy, sampled, strict=True):
        count = counts[index]
        count.greedy += _ballot(single, order)
        for completion in completions:
            count.tokens.append(completion.tokens)
            count.hits += comment_hits(count.group, order, completion.text)
            if ballot := _ballot(completion, order):
                count.ballots += ballot
                count.meta_chats.append(PROMPTS.meta(asked[index], order, marker, completion.text))
    return counts


def add_ratings(engine: Any, counts: Sequence[Count]) -> None:
    """Asks the meta RM about every ballot."""
    ratings = iter(rate(engine, [chat for count in counts for chat in count.meta_chats]))
    for count in counts:
        count.ballots = [Ballot(ballot.scores, next(ratings)) for ballot in count.ballots]


def _ballot(completion: Completion, order: Order) -> list[Ballot]:
    scores = parse(completion, len(order))
    if not isinstance(scores, Scores):
        return []
    by_index = dict(zip(order, scores.values, strict=True))
    return [Ballot(tuple(by_index[index] for index in range(len(order))))]
