"""Samples of clusters: what is drawn together, what is drawn apart, and that they come again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grm_plugin.batch.statistics.basis import effective_number
from grm_plugin.batch.statistics.bootstrap import AT_ONCE, Bootstrap
from support.vote_factories import make_item


def test_items_on_one_prompt_are_drawn_together_and_named_clusters_too() -> None:
    prompts = [make_item(name) for name in ("one", "one", "two", "three")]
    items = [*prompts, replace(make_item("four"), cluster="pair"), replace(make_item("five"), cluster="pair")]
    _, drawn = Bootstrap(items, [0]).sums(np.eye(6), np.arange(6))
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[4] == drawn[5]).all()
    assert (drawn[2] != drawn[3]).any()
    assert drawn[[0, 2, 3, 4]].sum(axis=0) == pytest.approx(4)  # as many clusters as there are


def test_subsets_keep_their_sizes_unless_they_share_a_prompt() -> None:
    items = [make_item(f"{subset} {index}", subset=subset) for subset in "ab" for index in range(5)]
    _, drawn = Bootstrap(items, [0]).sums(np.eye(10), np.arange(10))
    assert drawn[:5].sum(axis=0) == pytest.approx(5)
    shared = [*items, make_item("a 0", subset="b")]
    _, drawn = Bootstrap(shared, [0]).sums(np.eye(11), np.arange(11))
    assert (drawn[0] == drawn[10]).all()
    assert drawn[:5].sum(axis=0).min() < 5


def test_samples_come_again_with_the_items_and_the_seed_whatever_the_order_of_subsets() -> None:
    items = [make_item(f"{index}", subset="b" if index % 2 else "a") for index in range(50)]
    rows = np.random.default_rng(0).random((2, 50))
    first, again = (Bootstrap(items, [3]).sums(rows, np.arange(50))[1] for _ in range(2))
    assert (first == again).all()
    assert (Bootstrap(items, [4]).sums(rows, np.arange(50))[1] != first).any()
    part = np.arange(1, 50, 2)
    assert Bootstrap(items, [3]).sums(rows[:, part], part)[1] == pytest.approx(
        Bootstrap(items, [3]).sums(np.where(np.arange(50) % 2, rows, 0.0), np.arange(50))[1]
    )


def test_means_are_weighted_and_a_sample_without_items_repeats_them() -> None:
    items = [make_item(str(index)) for index in range(3)]
    (found,) = Bootstrap(items, [0]).means(np.array([[1.0, 0.0]]), np.array([0, 1]), np.array([3.0, 1.0]))
    assert found.value == 0.75
    assert {*np.unique(found.draws)} <= {0.0, 1.0, 0.75, 3 / 5, 6 / 7}  # (1, 2), (2, 1) of the two, or none of them
    assert 0.75 in found.draws
    assert found.basis.clusters == found.basis.items == pytest.approx(16 / 10)


def test_more_clusters_than_fit_into_memory_at_once() -> None:
    n = AT_ONCE // 100
    items = [make_item(str(index)) for index in range(n)]
    (found,) = Bootstrap(items, [0], draws=300).means(np.ones((1, n)), np.arange(n))
    assert (found.draws == 1.0).all()


def test_the_effective_number() -> None:
    assert effective_number(np.full(7, 2.0)) == pytest.approx(7)
    assert effective_number(np.array([9.0, 1.0])) == pytest.approx(100 / 82)
