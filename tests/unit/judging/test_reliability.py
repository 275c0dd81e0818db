"""Reliability against a table by hand, simulated votes, and the words of Spearman and Brown."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.judging.reliability import Reliability, TwoWay, two_way
from grm_plugin.judging.stopping import WinnerKnown
from grm_plugin.types import Critique, ListJudgement


def test_a_table_by_hand() -> None:
    """Three critiques of two responses: means 6 and 4, differences 1, 2, 3.

    Between: 3 (1 + 1) = 6 with 1 degree; within: (0.5^2 + 0.5^2) * 2 = 1 with 2 degrees: MSB 6, MSE 0.5.
    """
    sums = two_way([[5, 4], [6, 4], [7, 4]])
    assert (sums.between, sums.between_degrees, sums.within, sums.within_degrees) == pytest.approx((6, 1, 1, 2))
    assert sums.of_one_vote == pytest.approx((6 - 0.5) / (6 + 2 * 0.5))
    assert sums.of_votes(3) == pytest.approx(1 - 0.5 / 6)


def test_votes_that_agree_are_reliable_and_equal_ones_tell_nothing() -> None:
    assert two_way([[8, 3], [8, 3]]).of_one_vote == 1.0
    assert two_way([[8, 3], [9, 4], [3, -2]]).of_one_vote == 1.0  # lenience is no noise
    assert two_way([[5, 5], [5, 5]]).of_one_vote == 0.0
    for nothing in ([], [[5, 6]], [[5], [6]]):
        assert two_way(nothing).of_one_vote is None
        assert two_way(nothing).votes_for(0.9) is None


@pytest.mark.parametrize(
    ("one", "votes"),
    [(0.2, (16, 36, 76)), (0.3, (10, 21, 45)), (0.4, (6, 14, 29)), (0.5, (4, 9, 19)), (0.6, (3, 6, 13))],
)
def test_votes_for_a_reliability(one: float, votes: tuple[int, int, int]) -> None:
    # MSB = 1 + (k - 1) one and MSE = 1 - one, at k = 2 votes.
    sums = TwoWay(between=1 + one, between_degrees=1, within=1 - one, within_degrees=1, votes=2)
    assert sums.of_one_vote == pytest.approx(one)
    assert tuple(sums.votes_for(wanted) for wanted in (0.8, 0.9, 0.95)) == votes


def test_the_prediction_is_the_squared_correlation_with_the_truth() -> None:
    """Reliability of k votes, from pooled lists of 8 votes, against what means over k votes share with the truth."""
    rng = random.Random(3)
    lists, truths = [], []
    for _ in range(1500):
        truth = [rng.gauss(0, 1) for _ in range(4)]
        lenience = [rng.gauss(0, 0.8) for _ in range(32)]
        lists.append([[mean + lenient + rng.gauss(0, 1.2) for mean in truth] for lenient in lenience])
        truths.append(truth)
    sums = TwoWay()
    for rows in lists:
        sums = sums.plus(two_way(rows[:8]))
    for k in (4, 8, 16, 32):
        pairs = []
        for rows, truth in zip(lists, truths, strict=True):
            means = [fmean(column) for column in zip(*rows[:k], strict=True)]
            pairs += [(m - fmean(means), t - fmean(truth)) for m, t in zip(means, truth, strict=True)]
        together = math.fsum(m * t for m, t in pairs)
        squared = together**2 / math.fsum(m * m for m, _ in pairs) / math.fsum(t * t for _, t in pairs)
        assert sums.of_votes(k) == pytest.approx(squared, abs=0.03)


@given(
    st.lists(st.lists(st.integers(1, 10), min_size=3, max_size=3), min_size=2, max_size=9), st.permutations(range(3))
)
def test_numbering_and_lenience_change_nothing(rows: list[list[int]], numbering: list[int]) -> None:
    other = [[row[index] + shift for index in numbering] for shift, row in enumerate(rows)]
    before, after = two_way(rows).of_one_vote, two_way(other).of_one_vote
    assert before is not None
    assert after == pytest.approx(before, abs=1e-9)
    assert 0.0 <= before <= 1.0


def test_lists_that_stop_early_do_not_look_less_reliable_than_they_are() -> None:
    """They are those whose votes happen to agree, or to disagree: only the votes until the first look are learned."""
    rng = random.Random(11)
    rule, early, whole = WinnerKnown(0.05), Reliability(lambda n: 8), TwoWay()
    for _ in range(4000):
        truth = [rng.gauss(6, 1.0), rng.gauss(6, 1.0)]
        rows = [tuple(mean + rng.gauss(0, 1.5) for mean in truth) for _ in range(32)]
        spent = next((look for look in (8, 16, 24) if rule.look(rows[:look], look / 32)), 32)
        early.learn([judged(*rows[:spent])])
        whole = whole.plus(two_way(rows))
    assert early.sums.of_one_vote == pytest.approx(whole.of_one_vote, abs=0.03)


def judged(*rows: tuple[float, ...], kept: bool = True) -> ListJudgement:
    critiques = [Critique(row, "", "", "", (0, 1), sample, kept=kept) for sample, row in enumerate(rows)]
    return ListJudgement((0, 1), (None, None), tuple(critiques), (), (0, 0))


def test_the_last_lists_count_as_far_as_they_voted() -> None:
    pool = Reliability()
    assert pool.of_rewards is None
    pool.learn([judged((5, 6))])  # one vote says nothing
    pool.learn([judged((5, 9), (9, 5), kept=False)])
    assert pool.of_rewards is None
    pool.learn([judged((5, 4), (6, 4), (7, 4))])
    assert pool.of_rewards == pytest.approx(1 - 0.5 / 6)
    for _ in range(20_000):
        pool.learn([judged((8, 3), (8, 3))])
    assert pool.of_rewards == pytest.approx(1.0, abs=0.001)
