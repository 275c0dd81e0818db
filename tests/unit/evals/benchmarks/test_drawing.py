"""Which items `--limit` chooses."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from grm_plugin.batch.items import Item
from grm_plugin.errors import ConfigError
from grm_plugin.evals.benchmarks.drawing import draw
from support.vote_factories import make_item

ALONE = [make_item(str(number)) for number in range(20)]
TWOS = [replace(item, cluster=f"pair {number // 2}") for number, item in enumerate(ALONE)]
MIXED = TWOS[:6] + ALONE[6:]


@pytest.mark.parametrize("items", [ALONE, TWOS, MIXED], ids=["alone", "twos", "mixed"])
def test_a_larger_limit_adds_to_a_smaller_one(items: list[Item]) -> None:
    drawn = [draw(items, limit, seed=3) for limit in range(2, 21)]
    for limit, (few, more) in enumerate(itertools.pairwise(drawn), start=2):
        assert limit - 1 <= len(few) <= limit
        assert set(few_ids := [item.id for item in few]) <= {item.id for item in more}
        assert len(set(few_ids)) == len(few)


@pytest.mark.parametrize("items", [TWOS, MIXED], ids=["twos", "mixed"])
def test_a_cluster_is_drawn_whole_or_not_at_all(items: list[Item]) -> None:
    for limit in range(2, 21):
        for seed in range(5):
            clusters = [item.cluster for item in draw(items, limit, seed) if item.cluster]
            assert all(clusters.count(cluster) == 2 for cluster in clusters)


def test_the_choice_among_items_without_clusters_stays_from_version_to_version() -> None:
    """Or a run that goes on with a larger limit would start anew."""
    assert draw(ALONE, 7, seed=5) == random.Random(5).sample(ALONE, len(ALONE))[:7]


def test_all_stay_in_their_order() -> None:
    assert draw(TWOS, 20, seed=1) == TWOS == draw(TWOS, 99, seed=1)


def test_a_limit_below_the_first_cluster_says_what_to_give() -> None:
    with pytest.raises(ConfigError, match=r"--limit 1 is too small: .* give at least 2"):
        draw(TWOS, 1, seed=0)
