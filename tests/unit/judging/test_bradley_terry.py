"""Strengths from votes on pairs: true ones come back, and no votes make one infinite."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.judging.bradley_terry import PRIOR_SD, chances_of, strengths
from grm_plugin.judging.comparing import Compared


def against(mine: float, other: float) -> float:
    return 1 / (1 + math.exp(other - mine))


def test_two_by_hand() -> None:
    """6 of 8 votes: the slope is 6 - 8 p(2 s) - s / sd^2 = 0 at s, by symmetry the other is at -s."""
    found = strengths([Compared(0, 1, 6, 8)])
    assert found[0] == pytest.approx(-found[1])
    assert 6 - 8 * against(found[0], found[1]) == pytest.approx(found[0] / PRIOR_SD**2, abs=1e-7)


def test_known_strengths_come_back() -> None:
    rng = random.Random(5)
    truth = [rng.gauss(0, 1) for _ in range(6)]
    middle = sum(truth) / len(truth)
    pairs = []
    for one, other in itertools.combinations(range(len(truth)), 2):
        votes = 20_000
        won = sum(rng.random() < against(truth[one], truth[other]) for _ in range(votes))
        pairs.append(Compared(one, other, won, votes))
    found = strengths(pairs)
    assert [found[member] + middle for member in range(len(truth))] == pytest.approx(truth, abs=0.05)


def test_the_unbeaten_are_finite_and_a_cycle_is_a_tie() -> None:
    unbeaten = strengths([Compared(0, 1, 1024, 1024), Compared(0, 2, 1024, 1024), Compared(1, 2, 512, 1024)])
    assert unbeaten[0] > unbeaten[1] == pytest.approx(unbeaten[2], abs=1e-6)
    assert math.isfinite(unbeaten[0])
    cycle = chances_of([Compared(0, 1, 4, 4), Compared(1, 2, 4, 4), Compared(2, 0, 4, 4)])
    assert cycle == {0: 0.5, 1: 0.5, 2: 0.5}
    assert strengths([]) == chances_of([]) == {}


PAIRS = st.integers(2, 7).flatmap(
    lambda n: st.lists(
        st.tuples(st.sampled_from([*itertools.combinations(range(n), 2)]), st.integers(1, 64), st.integers(0, 128)),
        min_size=1,
        max_size=20,
        unique_by=lambda pair: pair[0],
    ).map(lambda found: [Compared(*pair, min(halves, 2 * votes) / 2, votes) for pair, votes, halves in found])
)


@given(PAIRS)
def test_the_slope_is_zero_at_the_strengths(pairs: list[Compared]) -> None:
    found = strengths(pairs)
    for member, mine in found.items():
        slope = -mine / PRIOR_SD**2
        for pair in pairs:
            if pair.first == member:
                slope += pair.won - pair.votes * against(mine, found[pair.second])
            if pair.second == member:
                slope += pair.votes - pair.won - pair.votes * against(mine, found[pair.first])
        assert slope == pytest.approx(0, abs=1e-4)


@given(PAIRS, st.randoms(use_true_random=False))
def test_relabelling_relabels_and_every_chance_is_one(pairs: list[Compared], rng: random.Random) -> None:
    names = [*range(7)]
    rng.shuffle(names)
    renamed = [Compared(names[pair.first], names[pair.second], pair.won, pair.votes) for pair in pairs]
    rng.shuffle(renamed)
    before, after = chances_of(pairs), chances_of(renamed)
    assert {names[member]: chance for member, chance in before.items()} == pytest.approx(after, abs=3e-6)
    assert all(0 < chance < 1 for chance in before.values())
