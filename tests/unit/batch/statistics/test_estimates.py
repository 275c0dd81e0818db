"""Intervals, paired differences and their correction: against known formulas, and against how often they hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from grm_plugin.batch.statistics.bootstrap import Bootstrap
from grm_plugin.batch.statistics.estimates import Estimate, gap, student_t, together, verdicts, weighted_sum
from grm_plugin.batch.statistics.wilson import wilson
from support.vote_factories import make_item


def estimates_of(*rows: list[float], per_prompt: int = 1) -> list[Estimate]:
    """The means of some rows of figures of items, of which so many in a row are on one prompt."""
    n = len(rows[0])
    items = [make_item(f"prompt {index // per_prompt}") for index in range(n)]
    return Bootstrap(items, [0]).means(np.array(rows, dtype=float), np.arange(n))


def test_an_interval_is_wilsons_where_items_are_independent() -> None:
    (found,) = estimates_of([1.0] * 180 + [0.0] * 20)
    assert found.interval == pytest.approx(wilson(180, 200), abs=0.005)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_a_judge_that_was_always_right_may_be_wrong_next_time(n: int) -> None:
    (found,) = estimates_of([1.0] * n)
    low, high = found.interval
    assert high == 1.0
    assert low < 1 - 1 / (n + 2)


def test_five_pairs_on_a_prompt_say_less_than_five_prompts() -> None:
    """The pairs of a prompt are all right or all wrong: the interval is that of the prompts."""
    row = [1.0] * 150 + [0.0] * 50
    (alone,), (together_,) = estimates_of(row), estimates_of(row, per_prompt=5)
    assert together_.interval == pytest.approx(wilson(30, 40), abs=0.02)
    assert together_.error > 2 * alone.error


def test_one_item_makes_nothing_better() -> None:
    """Greedy wrong and @2 right on the only item: +100 points, and nothing is known."""
    better, worse = estimates_of([1.0], [0.0])
    ((low, high), verdict) = verdicts([gap(better, worse)])[0]
    assert low < 0 < high
    assert verdict == "too few items"


def test_a_difference_is_paired() -> None:
    """Two methods that are right on the same items differ by nothing, however wide their own intervals are."""
    first, second = estimates_of([1.0, 0.0] * 200, [1.0, 0.0] * 200)
    low, high = gap(first, second).interval()
    assert -0.006 < low < 0 < high < 0.006
    assert first.interval[1] - first.interval[0] > 0.08


def test_a_difference_has_the_interval_of_matched_proportions() -> None:
    """Agresti and Min (2005) on 100 pairs, 20 and 5 of them discordant: (20 - 5) / 102 +- 1.96 se."""
    first, second = estimates_of([1.0] * 20 + [0.0] * 5 + [1.0] * 75, [0.0] * 20 + [1.0] * 5 + [1.0] * 75)
    b, c, n = 20.5, 5.5, 102
    half = 1.984 * np.sqrt((b + c) - (b - c) ** 2 / n) / n
    assert gap(first, second).interval() == pytest.approx(((b - c) / n - half, (b - c) / n + half), abs=0.006)


def test_many_comparisons_need_more_than_one() -> None:
    """Twenty methods that are all guessing: alone some would be better or worse, together none is, mostly."""
    rng = np.random.default_rng(0)
    alone = found = 0
    for _ in range(20):
        base, *others = estimates_of(*((rng.random((21, 100)) < 0.5) * 1.0).tolist())
        gaps = [gap(other, base) for other in others]
        alone += any(low > 0 or high < 0 for low, high in (each.interval() for each in gaps))
        found += any(verdict != "not distinguishable" for _, verdict in verdicts(gaps))
    assert found <= 4 < alone


def test_methods_that_agree_are_one_comparison() -> None:
    (first,) = estimates_of([1.0] * 60 + [0.0] * 40)
    assert together([first.draws]) == pytest.approx(1.96, abs=0.001)
    assert together([first.draws] * 30) == pytest.approx(1.96, abs=0.1)


def test_a_weighted_sum_on_the_same_items_rests_on_no_more_of_them() -> None:
    first, second = estimates_of([1.0] * 30 + [0.0] * 10, [1.0] * 10 + [0.0] * 30)
    found = weighted_sum([(0.25, first), (0.75, second)])
    assert found.value == pytest.approx(0.25 * 0.75 + 0.75 * 0.25)
    assert found.basis.clusters == found.basis.items == pytest.approx(40)


def test_a_weighted_sum_on_different_benchmarks_is_as_sure_as_its_parts() -> None:
    (first,), (second,) = estimates_of([1.0] * 30 + [0.0] * 10), estimates_of([1.0] * 10 + [0.0] * 30)
    found = weighted_sum([(0.25, first), (0.75, second)], apart=True)
    assert found.basis.clusters == pytest.approx(1 / ((0.25**2 + 0.75**2) / 40))


def test_a_value_above_one_is_in_its_interval() -> None:
    """The score of Ties weighs its parts 1.01 in all."""
    (all_right,) = estimates_of([1.0] * 40)
    found = weighted_sum([(1.0, all_right), (0.01, all_right)])
    low, high = found.interval
    assert low < 1 < high == found.value == pytest.approx(1.01)


def coverage(sizes: Sequence[int], alike: bool) -> float:
    """How often the interval over subsets of these sizes holds the truth: 3 of 4 right, on 400 sets of items."""
    items = [make_item(f"{subset} {index}", subset=f"{subset}") for subset, n in enumerate(sizes) for index in range(n)]
    rows = (np.random.default_rng(7).random((400, len(items))) < 0.75) * 1.0
    bootstrap = Bootstrap(items, [0], draws=1000)
    if not alike:
        found = bootstrap.means(rows, np.arange(len(items)))
    else:
        ends = np.cumsum(sizes)
        places = [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
        columns = zip(*(bootstrap.means(rows[:, own], own) for own in places), strict=True)
        found = [weighted_sum([(1 / len(sizes), part) for part in column]) for column in columns]
    return sum(low <= 0.75 <= high for low, high in (each.interval for each in found)) / 400


@pytest.mark.parametrize(
    ("sizes", "alike"),
    [
        ([2] * 20, False),
        ([3] * 30, False),
        ([30] + [1] * 30, False),
        ([3] * 23, True),
        ([1, 2, 3, 4, 5] * 5, True),
        ([1, 50, 50, 50], True),
    ],
    ids=["twos", "threes", "one large", "alike", "alike, 1 to 5", "alike, one of one"],
)
def test_many_small_subsets_do_not_make_an_interval_narrow(sizes: list[int], alike: bool) -> None:
    """The variance within a subset of two items is seen only half by samples of two, and of one item not at all."""
    assert coverage(sizes, alike) >= 0.92


def test_what_differs_by_rounding_only_is_no_comparison() -> None:
    (first,) = estimates_of([1.0] * 60 + [0.0] * 40)
    noise = np.random.default_rng(0).choice([0.0, 1e-16], len(first.draws))
    assert together([first.draws, noise]) == together([first.draws])


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (4, 2.776), (5, 2.571), (10, 2.228), (29, 2.045)])
def test_students_t(freedom: int, quantile: float) -> None:
    assert student_t(freedom) == pytest.approx(quantile, rel=0.002)
    assert student_t(1e9) == pytest.approx(1.96, abs=0.001)


@pytest.mark.parametrize("n", [20, 100])
@pytest.mark.parametrize("p", [0.6, 0.95])
def test_an_interval_holds_the_truth_95_times_in_100(n: int, p: float) -> None:
    """On 400 sets of items. The whole grid is measured by tests/benchmarks/bench_coverage.py."""
    rng = np.random.default_rng(5)
    intervals = [each.interval for each in estimates_of(*((rng.random((400, n)) < p) * 1.0).tolist())]
    held = sum(low <= p <= high for low, high in intervals) / 400
    assert 0.92 <= held <= 0.99


def test_a_judge_that_is_always_right_is_not_right_more_often() -> None:
    """Ten tenths are 0.9999999999999999 in binary, and the weights of other composites sum to a little more than 1."""
    (all_right,) = estimates_of([1.0] * 40)
    found = weighted_sum([(0.1, all_right)] * 10)
    assert found.value == found.interval[1] == 1.0
