"""Orders: which permutations of the responses the GRM sees, and how often each is sampled.

Position bias cancels when every response sits in every position equally often. Blocks of n cyclic rotations of one
random permutation (a Latin square) do that with n orders, few enough that the k samples of a list share prefixes.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from grm_plugin.config import SamplingConfig

Order = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Draw:
    """`n` samples of one order, to be requested in one call."""

    order: Order
    n: int


def balanced_orders(n: int, m: int, rng: random.Random) -> list[Order]:
    """`m` distinct permutations of `range(n)` (fewer when n! < m), balanced over positions when n divides m."""
    m = min(m, math.factorial(n))
    orders: list[Order] = []
    seen: set[Order] = set()
    while len(orders) < m:
        # Rotations of one another share a canonical form that starts at 0, so a new form is n new orders.
        form = (0, *rng.sample(range(1, n), n - 1))
        if form in seen:
            continue
        seen.add(form)
        offset = rng.randrange(n)
        orders += [form[(offset + shift) % n :] + form[: (offset + shift) % n] for shift in range(n)]
    return orders[:m]


def plan_draws(
    n: int, sampling: SamplingConfig, rng: random.Random, k: int | None = None, drawn: int = 0
) -> list[list[Draw]]:
    """The draws on a list of n responses; in rounds where a stopping rule looks at the votes after each.

    Args:
        n: responses of the list.
        sampling: over how many orders, with a stopping rule or without.
        rng: draws the orders: the same ones for any k, as far as k asks for them.
        k: samples in all; None takes `sampling.k`.
        drawn: how many of them there are already, planned with the same `rng`: only the others are.
    """
    k = k or sampling.k
    orders = balanced_orders(n, sampling.orders_of(n, k), rng)
    return plan_rounds(orders, k, sampling.looks(n, k), drawn)


def plan_rounds(orders: list[Order], k: int, stops: Sequence[int] = (), drawn: int = 0) -> list[list[Draw]]:
    """Spread samples number `drawn` to k over the orders as evenly as k allows, in rounds that end after `stops`."""
    rounds = []
    edges = [drawn, *(stop for stop in stops if drawn < stop < k), k]
    for start, end in itertools.pairwise(edges):
        shown = [orders[sample % len(orders)] for sample in range(start, end)]
        if shown:
            rounds.append([Draw(order, shown.count(order)) for order in dict.fromkeys(shown)])
    return rounds
