"""Replays of stored votes, against votes that can be counted by hand and against all orders of five."""

from __future__ import annotations

import itertools
import random
from statistics import fmean

import pytest

from grm_plugin.judging.stopping import WinnerKnown
from grm_plugin.votes.replay import _shuffled, orders_for, reliability_of, replay_fixed, replay_rule
from grm_plugin.votes.stored_lists import StoredList, Vote

PAIR = ((0, 1), (1, 0))


def listed(*rows: tuple[float, ...] | None, best: int | None = None, meta: list[float] | None = None) -> StoredList:
    """A list whose votes come in both orders by turns, of ten tokens each."""
    n = next(len(row) for row in rows if row)
    orders = PAIR if n == 2 else (tuple(range(n)),)
    votes = [
        Vote(row, orders[number % len(orders)], 10, None if meta is None else meta[number])
        for number, row in enumerate(rows)
    ]
    return StoredList(n, tuple(votes), frozenset() if best is None else frozenset({best}))


def test_a_few_votes_of_five_are_those_of_all_their_orders() -> None:
    """Brute force: in which share of the orders do the first three name another winner than all five?"""
    rows = [(8.0, 3.0), (4.0, 6.0), (7.0, 6.0), (2.0, 6.0), (9.0, 4.0)]
    one_order = StoredList(2, tuple(Vote(row, (0, 1), 10) for row in rows))
    flips = [
        max((0, 1), key=lambda index: sum(row[index] for row in chosen[:3])) != 0
        for chosen in itertools.permutations(rows)
    ]
    assert replay_fixed([one_order], 3, 4000).flips == pytest.approx(fmean(flips), abs=0.02)


def test_all_votes_say_what_they_say() -> None:
    lists = [listed(*[(7.0, 4.0), (6.0, 5.0)] * 4, best=0), listed(*[(3.0, 4.0), (6.0, 7.0)] * 4, best=0)]
    whole = replay_fixed(lists, 8, 5)
    assert (whole.votes, whole.tokens, whole.flips, whole.advantage_error, whole.right) == (8, 1.0, 0.0, 0.0, 0.5)


def test_lost_votes_count_as_asked_and_say_nothing() -> None:
    half = replay_fixed([listed(*[(7.0, 4.0), None] * 4)], 4, 20)
    assert (half.votes, half.tokens, half.flips) == (4, 0.5, pytest.approx(half.flips))
    only_lost = replay_fixed([listed((7.0, 4.0), *[None] * 7)], 1, 400)
    assert only_lost.flips > 0.5  # mostly there is no vote, and so no winner


def test_orders_of_the_responses_come_in_turn() -> None:
    item = listed(*[(5.0, 5.0)] * 8)
    for _ in range(20):
        shown = [vote.order for vote in _shuffled(item, random.Random())]
        assert all({*shown[place : place + 2]} == {*PAIR} for place in range(0, 8, 2))


def test_the_meta_rm_chooses_among_the_votes_that_there_are() -> None:
    """The critiques that it rates low say the opposite."""
    item = listed(*[(9.0, 2.0), (2.0, 9.0)] * 4, meta=[1.0, 0.0] * 4)
    assert item.rated
    assert replay_fixed([item], 2, 50).flips == 0.0


def test_a_rule_ends_as_it_would_in_the_service() -> None:
    clear, tie = listed(*[(9.0, 2.0)] * 32), listed(*[(5.0, 6.0), (6.0, 5.0)] * 16)
    found = replay_rule([clear, tie], WinnerKnown(0.05), 10)
    assert found.reasons == {"all": 0.5, "winner": 0.5}
    assert found.votes == (8 + 32) / 2
    assert found.rounds == (1 + 4) / 2
    assert found.tokens == 40 / 64


def test_reliability_is_pooled_over_lists() -> None:
    assert reliability_of([listed(*[(9.0, 2.0)] * 8)]).of_one_vote == 1.0
    assert reliability_of([listed(*[(9.0, 2.0), (2.0, 9.0)] * 4)]).of_one_vote == 0.0


def test_many_lists_are_replayed_in_fewer_orders() -> None:
    item = listed(*[(9.0, 2.0)] * 8)
    assert orders_for([item], 20) == 20
    assert orders_for([item] * 4000, 20) == 5
    assert orders_for([item] * 100_000, 20) == 1
