"""Shares over items, their differences and their intervals: by hand, and their coverage by simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grm_plugin.batch.statistics.clusters import FEWEST_ITEMS, cluster_of
from grm_plugin.batch.statistics.shares import Difference, Share, difference_of, mean_difference, share_of
from grm_plugin.batch.statistics.wilson import wilson
from support.vote_factories import make_item


def names(count: int) -> list[str]:
    return [f"item {number}" for number in range(count)]


def test_every_item_weighs_the_same() -> None:
    """One of one hit, one of three, and an item without an observation: (1 + 1/3) / 2."""
    found = share_of([1, 1, 0], [1, 3, 0], names(3))
    assert found is not None
    assert (found.value, found.n, found.items) == (pytest.approx(2 / 3), 4, 2)


def test_single_observations_of_independent_items_have_wilsons_interval() -> None:
    found = share_of([1] * 30 + [0] * 10, [1] * 40, names(40))
    assert found is not None
    assert found.ci95 == pytest.approx(wilson(30, 40), abs=0.005)


def test_copies_of_an_item_add_nothing() -> None:
    """Ten clusters of five equal items say what ten items say; and so do ten that are all right."""
    ten = share_of([1] * 6 + [0] * 4, [1] * 10, names(10))
    fifty = share_of([1] * 30 + [0] * 20, [1] * 50, [name for name in names(10) for _ in range(5)])
    right = share_of([1] * 50, [1] * 50, [name for name in names(10) for _ in range(5)])
    assert ten is not None
    assert fifty is not None
    assert right is not None
    assert fifty.ci95 == pytest.approx(ten.ci95)
    assert right.ci95 == wilson(10, 10)


def test_no_observation_is_no_share() -> None:
    assert share_of([0, 0], [0, 0], names(2)) is None
    assert mean_difference([], []) is None
    assert difference_of(None, Share(0.5, (0.4, 0.6), 100, 100)) is None


def test_a_difference_of_shares_is_newcombes() -> None:
    """Newcombe (1998b), table II, method 10: 56/70 - 48/80 is 0.2 [0.0524, 0.3339]."""
    first, second = Share(56 / 70, wilson(56, 70), 70, 70), Share(48 / 80, wilson(48, 80), 80, 80)
    found = difference_of(first, second)
    assert found is not None
    assert (found.value, *found.ci95) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert (found.items, found.sign) == (70, 1)


@pytest.mark.parametrize(("items", "sign"), [(FEWEST_ITEMS - 1, None), (FEWEST_ITEMS, -1)])
def test_nothing_is_said_on_few_items(items: int, sign: int | None) -> None:
    assert Difference(-0.5, (-0.6, -0.4), items).sign == sign


def test_equal_items_have_an_interval_with_a_width() -> None:
    found = mean_difference([1.0] * 10, names(10))
    assert found is not None
    assert found.value == 1.0
    assert found.ci95[0] < 0.95
    assert found.ci95[1] == 1.0


@pytest.mark.parametrize("size", [1, 5])
def test_intervals_hold_the_truth_as_often_as_they_say(size: int) -> None:
    """Items in clusters that share half of what decides them. Without clusters the interval of five would hold 80 %."""
    rng = np.random.default_rng(size)
    clusters = [name for name in names(60) for _ in range(size)]
    held = []
    for _ in range(400):
        own, shared = rng.random(60 * size) < 0.7, np.repeat(rng.random(60) < 0.7, size)
        hits = np.where(rng.random(60 * size) < 0.5, own, shared)
        found = share_of(hits, np.ones(hits.size), clusters)
        assert found is not None
        held.append(found.ci95[0] <= 0.7 <= found.ci95[1])
    assert 0.92 <= np.mean(held) <= 0.985


def test_items_on_one_prompt_are_one_cluster_unless_they_name_another() -> None:
    one, other = make_item("a"), make_item("b")
    assert cluster_of(one) == cluster_of(replace(one, id="c", responses=("x", "y")))
    assert cluster_of(one) != cluster_of(other)
    assert cluster_of(replace(one, cluster="q")) == cluster_of(replace(other, cluster="q")) == "q"
