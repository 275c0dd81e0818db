"""Position bias against its baseline: by hand, and for simulated judges with and without a bias."""

from __future__ import annotations

import itertools
import random

import pytest

from grm_plugin.batch.vote_store import ItemVotes, StoredVote
from grm_plugin.evals.bias.order_flips import order_flips, winner_of
from support.vote_factories import make_record, vote

ORDERS = ((0, 1), (1, 0))


def simulated(items: int, per_order: int, pull: float, seed: int = 0) -> list[ItemVotes]:
    """A judge that is right in 70 % of its votes; `pull` more where the right response is shown first, else less."""
    rng = random.Random(seed)

    def votes() -> list[StoredVote]:
        return [
            vote(*((9, 1) if rng.random() < 0.7 + (pull if order[0] == 0 else -pull) else (1, 9)), order=order)
            for order in ORDERS
            for _ in range(per_order)
        ]

    return [make_record(votes=votes(), name=f"item {number}") for number in range(items)]


def test_pairs_are_counted_as_by_definition() -> None:
    rng = random.Random(5)
    orders = [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    votes = [vote(*(rng.choice([1, 5, 9]) for _ in range(3)), order=rng.choice(orders)) for _ in range(40)]
    decided = [each for each in votes if winner_of(each) is not None]
    flips: dict[bool, list[bool]] = {True: [], False: []}
    for one, other in itertools.combinations(decided, 2):
        flips[one.order == other.order].append(winner_of(one) != winner_of(other))
    found = order_flips([make_record(votes=votes)])
    assert found is not None
    assert found.same is not None
    for share, defined in ((found.different, flips[False]), (found.same, flips[True])):
        assert (share.value, share.n) == (pytest.approx(sum(defined) / len(defined)), len(defined))


def test_ties_lost_votes_and_unknown_orders_are_in_no_pair() -> None:
    votes = [vote(9, 1, order=(0, 1)), vote(5, 5, order=(1, 0)), vote(order=(1, 0)), StoredVote((1.0, 9.0), ())]
    assert order_flips([make_record(votes=votes)]) is None
    assert order_flips([make_record(votes=[vote(7), vote(3)], label=1)]) is None


def test_without_two_votes_of_one_order_there_is_no_baseline() -> None:
    found = order_flips(simulated(50, 1, 0.0))
    assert found is not None
    assert (found.same, found.effect, found.different.items) == (None, None, 50)
    assert found.different.value > 0.25  # noise alone, of a judge without a bias


def test_a_judge_without_a_bias_shows_none() -> None:
    """Its noise flips 2 * 0.7 * 0.3 = 42 % of all pairs, of different orders and of the same one."""
    found = order_flips(simulated(1500, 2, 0.0))
    assert found is not None
    assert found.same is not None
    assert found.effect is not None
    assert found.different.value == pytest.approx(0.42, abs=0.025)
    assert found.same.value == pytest.approx(0.42, abs=0.025)
    assert found.effect.ci95[0] < 0 < found.effect.ci95[1]
    assert abs(found.effect.value) < 0.03


def test_a_bias_is_its_mean_square() -> None:
    """The chances to win are 0.95 and 0.45: half a point apart, squared 0.25."""
    found = order_flips(simulated(1500, 2, 0.25))
    assert found is not None
    assert found.effect is not None
    assert found.effect.value == pytest.approx(0.25, abs=0.03)
    assert found.effect.sign == 1


def test_the_interval_holds_zero_for_judges_without_a_bias() -> None:
    effects = [found.effect for seed in range(200) if (found := order_flips(simulated(40, 2, 0.0, seed)))]
    assert 0.9 <= sum(each is not None and each.ci95[0] <= 0 <= each.ci95[1] for each in effects) / 200 <= 0.99
