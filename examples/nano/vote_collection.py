"""Collects the nano GRM's votes on ranked groups: greedy ones, and 32 at temperature 0.5 in balanced orders.

Groups of three get 30 sampled votes, ten in each of three orders.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from examples.nano.batches import PROMPTS
from examples.nano.groups import RankedGroup
from examples.nano.measure import ParsedVote, comment_hits
from examples.nano.vllm_offline import chat, rate
from grm_plugin.judging.orders import Order, balanced_orders
from grm_plugin.judging.parsing import parse
from grm_plugin.judging.prompts import draw_marker
from grm_plugin.types import Completion, Conversation, Group, Message, Scores

VOTES = 32


@dataclass
class GroupVotes:
    """The votes on one group, and what was counted about its critiques.

    Attributes:
        group: what was judged.
        greedy: one vote per order at temperature 0, less those that could not be parsed.
        votes: the sampled votes, less those that could not be parsed.
        meta_chats: what the meta RM reads about each of `votes`.
        hits: for every comment in a sampled critique, whether it is true.
        tokens: number of tokens of every sampled critique.
    """

    group: RankedGroup
    greedy: list[ParsedVote] = field(default_factory=list)
    votes: list[ParsedVote] = field(default_factory=list)
    meta_chats: list[Conversation] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)


def collect_votes(engine: Any, groups: Sequence[RankedGroup], rng: random.Random) -> list[GroupVotes]:
    """Ask a vLLM engine for 32 votes on each group; all groups must have the same number of responses."""
    n = len(groups[0].responses)
    collected = [GroupVotes(group) for group in groups]
    asked = [Group((Message("user", group.task.prompt),), group.responses) for group in groups]
    shown = [
        (index, order, draw_marker(rng)) for index in range(len(groups)) for order in balanced_orders(n, max(2, n), rng)
    ]
    chats = [PROMPTS.listwise(asked[index], order, marker).messages for index, order, marker in shown]
    per_order = VOTES * len(groups) // len(shown)
    greedy, sampled = chat(engine, chats, 1, 0.0), chat(engine, chats, per_order, 0.5)
    for (index, order, marker), (single,), completions in zip(shown, greedy, sampled, strict=True):
        found = collected[index]
        if vote := _parse_vote(single, order):
            found.greedy.append(vote)
        for completion in completions:
            found.tokens.append(completion.tokens)
            found.hits += comment_hits(found.group, order, completion.text)
            if vote := _parse_vote(completion, order):
                found.votes.append(vote)
                found.meta_chats.append(PROMPTS.meta(asked[index], order, marker, completion.text))
    return collected


def add_ratings(engine: Any, collected: Sequence[GroupVotes]) -> None:
    """Ask the meta RM's engine for the rating of every sampled vote."""
    ratings = iter(rate(engine, [chat for found in collected for chat in found.meta_chats]))
    for found in collected:
        found.votes = [ParsedVote(vote.scores, next(ratings)) for vote in found.votes]


def _parse_vote(completion: Completion, order: Order) -> ParsedVote | None:
    """The vote of a critique that saw the responses in `order`; None if it cannot be parsed."""
    scores = parse(completion, len(order))
    if not isinstance(scores, Scores):
        return None
    by_index = dict(zip(order, scores.values, strict=True))
    return ParsedVote(tuple(by_index[index] for index in range(len(order))))
