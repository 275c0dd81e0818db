import math
import random
from collections import Counter
from itertools import accumulate

import pytest

from grm_plugin.config import AdaptiveConfig, SamplingConfig
from grm_plugin.judging.orders import balanced_orders, plan_rounds


def rng(seed: int = 0) -> random.Random:
    return random.Random(seed)


def multiples(n: int) -> list[int]:
    """Multiples of n up to 4 n, as far as there are permutations."""
    return [m for m in range(n, 4 * n + 1, n) if m <= math.factorial(n)]


@pytest.mark.parametrize(("n", "m"), [(n, m) for n in range(1, 7) for m in multiples(n)])
def test_every_response_sits_in_every_position_equally_often(n: int, m: int) -> None:
    for seed in range(20):
        orders = balanced_orders(n, m, rng(seed))
        assert len(set(orders)) == m
        assert all(sorted(order) == list(range(n)) for order in orders)
        seats = Counter((position, response) for order in orders for position, response in enumerate(order))
        assert seats == {(p, r): m // n for p in range(n) for r in range(n)}


@pytest.mark.parametrize(("n", "m"), [(3, 2), (3, 5), (4, 7), (5, 3), (6, 8)])
def test_other_numbers_of_orders_are_distinct_and_as_balanced_as_they_can_be(n: int, m: int) -> None:
    for seed in range(20):
        orders = balanced_orders(n, m, rng(seed))
        assert len(set(orders)) == m
        for position in range(n):
            seats = Counter(order[position] for order in orders)
            assert max(seats.values()) <= -(-m // n)


@pytest.mark.parametrize(("n", "m", "given"), [(1, 5, 1), (2, 8, 2), (3, 100, 6), (4, 1000, 24)])
def test_there_are_never_more_orders_than_permutations(n: int, m: int, given: int) -> None:
    assert len(set(balanced_orders(n, m, rng()))) == given


def test_two_responses_get_both_orders_half_of_the_votes_each() -> None:
    (only_round,) = plan_rounds(balanced_orders(2, 2, rng()), k=8)
    assert {draw.order: draw.n for draw in only_round} == {(0, 1): 4, (1, 0): 4}


def test_a_single_order_favours_nobody() -> None:
    first = Counter(balanced_orders(4, 1, rng(seed))[0][0] for seed in range(400))
    assert {*first} == {0, 1, 2, 3}
    assert min(first.values()) > 60, "100 expected, and the seeds are fixed"


def test_orders_follow_the_seed() -> None:
    assert balanced_orders(5, 10, rng(3)) == balanced_orders(5, 10, rng(3))
    assert len({tuple(balanced_orders(5, 10, rng(seed))) for seed in range(10)}) > 1


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("k", [1, 2, 3, 8, 13])
@pytest.mark.parametrize("stops", [(), (1,), (4, 8), (2, 5, 100)], ids=str)
def test_rounds_spread_k_votes_evenly(n: int, k: int, stops: tuple[int, ...]) -> None:
    orders = balanced_orders(n, min(n, k), rng())
    rounds = plan_rounds(orders, k, stops)
    sizes = [sum(draw.n for draw in draws) for draws in rounds]
    assert [*accumulate(sizes)] == [*(stop for stop in stops if stop < k), k]
    drawn = Counter(dict.fromkeys(orders, 0))
    for draws in rounds:
        assert len({draw.order for draw in draws}) == len(draws), "one request per order and round"
        drawn.update({draw.order: draw.n for draw in draws})
    assert max(drawn.values()) - min(drawn.values()) <= 1


@pytest.mark.parametrize(
    ("n", "k", "orders", "votes"),
    [
        (4, 32, None, [8, 16, 24]),
        (2, 32, None, [8, 16, 24]),
        (3, 32, None, [9, 18, 24]),
        (4, 16, None, [4, 8, 12]),
        (4, 8, None, [4]),
        (2, 8, None, [4, 6]),
        (4, 8, 1, [4, 6]),
        (4, 32, 24, [24]),
        (4, 8, 8, []),
        (2, 4, None, []),
        (1, 32, None, []),
    ],
)
def test_votes_are_looked_at_a_few_times_after_whole_sets_of_orders(
    n: int, k: int, orders: int | None, votes: list[int]
) -> None:
    assert SamplingConfig(k=k, orders=orders, adaptive=AdaptiveConfig()).looks(n) == votes
    assert SamplingConfig(k=k, orders=orders).looks(n) == []
