"""ROC-AUC of single responses against its definition, and the memory that figures take."""

from __future__ import annotations

import gc
import math
import tracemalloc

import numpy as np
import pytest

from grm_plugin.batch.statistics.bootstrap import Bootstrap, shares_ranked_below
from grm_plugin.errors import WireError
from grm_plugin.evals.analysis import analyse
from support.vote_factories import make_item, make_record, manifest, vote


@pytest.mark.parametrize(
    ("positives", "negatives", "expected"),
    [
        ([3, 4], [1, 2], 1.0),
        ([1, 2], [3, 4], 0.0),
        ([1, 3], [2, 4], 0.25),
        ([2, 2], [2, 2], 0.5),
        ([5, 2], [2, 1, 4], (3 + 0.5 + 1) / 6),
        ([5, math.nan], [1, math.nan], 1 / 4),
    ],
)
def test_roc_auc(positives: list[float], negatives: list[float], expected: float) -> None:
    above, below = np.array([positives]), np.array([negatives])
    assert shares_ranked_below(above, below).mean() == pytest.approx(expected)
    assert shares_ranked_below(-below, -above).mean() == pytest.approx(expected)


def test_roc_auc_over_rounds_is_the_mean_of_their_aucs() -> None:
    rounds = np.array([[3.0, 4.0], [1.0, 2.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])
    assert shares_ranked_below(*rounds).tolist() == [0.5, 0.5]


def test_the_bootstrapped_auc_is_that_of_the_resampled_items() -> None:
    """Against the definition: repeat every item as often as it was drawn, and compare all pairs, ties included."""
    rng = np.random.default_rng(1)
    up, down = rng.integers(3, 11, 80).astype(float), rng.integers(1, 9, 120).astype(float)
    bootstrap = Bootstrap([make_item(str(index), label=1) for index in range(200)], [7])
    above, below = shares_ranked_below(up[None], down[None]), shares_ranked_below(-down[None], -up[None])
    places = np.arange(80), np.arange(80, 200)
    (found,) = bootstrap.aucs(above[None], places[0], below[None], places[1])
    counts = bootstrap.sums(np.eye(200), np.arange(200))[1].T  # samples x items: how often each was drawn
    wins = (up[:, None] > down) + 0.5 * (up[:, None] == down)
    pairs = counts[:, :80].sum(axis=1) * counts[:, 80:].sum(axis=1)
    defined = np.einsum("bp,pn,bn->b", counts[:, :80], wins, counts[:, 80:]) / pairs
    assert np.corrcoef(found.draws, defined)[0, 1] > 0.99
    assert found.draws.std() == pytest.approx(defined.std(), rel=0.05)


def test_no_interval_of_an_auc_goes_beyond_1() -> None:
    up, down = np.array([[9.0] * 9 + [5.0]]), np.array([[1.0] * 9 + [6.0]])
    bootstrap = Bootstrap([make_item(str(index), label=1) for index in range(20)], [0])
    (found,) = bootstrap.aucs(
        shares_ranked_below(up, down)[None],
        np.arange(10),
        shares_ranked_below(-down, -up)[None],
        np.arange(10, 20),
    )
    assert found.value == pytest.approx(0.99)
    assert found.interval[1] <= 1.0


def test_single_responses_are_measured_by_auc_of_their_mean_score() -> None:
    records = [
        make_record(votes=[vote(8), vote(6)], label=1),
        make_record(votes=[vote(5), vote(7)], label=1),
        make_record(votes=[vote(6), vote(6)], label=0),
        make_record(votes=[vote(2), vote()], label=0),
    ]
    report = analyse(manifest(k=2), records)
    row = next(row for row in report.rows if row.method == "@2")
    assert row.metric == "auc"
    assert row.mean == pytest.approx((1 + 1 + 0.5 + 1) / 4)  # means 7, 6 against 6, 2
    assert report.chance == 0.5


def test_a_lost_single_response_loses_its_comparisons() -> None:
    records = [make_record(votes=[vote(8)], label=1), make_record(votes=[vote()], label=0)]
    (row,) = analyse(manifest(k=1), records).rows
    assert (row.mean, row.lenient, row.lost) == (0.0, 0.0, 0.5)


def test_lists_and_single_responses_do_not_mix() -> None:
    with pytest.raises(WireError, match="split the file"):
        analyse(manifest(k=1), [make_record(votes=[vote(8)], label=1), make_record(votes=[vote(8, 2)])])


@pytest.mark.parametrize(("single", "megabytes"), [(False, 14), (True, 30)])
def test_memory_is_not_that_of_all_choices_of_votes_or_all_pairs_of_items(single: bool, megabytes: int) -> None:
    """2,000 items: the choices of votes for all of them are 18 MB; all pairs are 8 MB for each of six methods."""
    votes = [vote(8) if single else vote(8, 2)] * 32
    records = [make_record(votes, name=str(index), label=index % 2 if single else None) for index in range(2000)]
    gc.collect()
    tracemalloc.start()
    try:
        analyse(manifest(k=32), records)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 1e6
