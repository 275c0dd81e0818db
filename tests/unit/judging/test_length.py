"""Length: the correlation by hand and what holds of it; the penalty by its properties; both through the judge."""

from __future__ import annotations

from statistics import correlation as pearson

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from grm_plugin.judging.judge import Judge
from grm_plugin.judging.length import REMEMBERED_GROUPS, LengthCorrelation, Products, penalised, products, relative
from support.factories import by_number, judge_one, make_config, make_group, scoring

MEAN = st.floats(1, 10)
LENGTH = st.integers(0, 2_000_000)
GROUP = st.lists(st.tuples(MEAN, LENGTH), min_size=1, max_size=12)
PENALTY = st.floats(0, 1e6)
CLOSE = 1e-9


def taken(group: list[tuple[float, int]], penalty: float) -> list[float]:
    return penalised([mean for mean, _ in group], [length for _, length in group], penalty)


def test_relative_lengths() -> None:
    assert relative([50, 100, 150]) == [-0.5, 0.0, 0.5]
    assert relative([0, 0]) == [0.0, 0.0]
    assert relative([]) == []


def test_penalties_by_hand() -> None:
    """Mean length 100: the one of 200 is longer by 1, so it keeps 1 / 1.2 of the 7 it has above 1."""
    assert penalised([8, 8, 8, 1], [200, 100, 20, 80], 0.2) == pytest.approx([1 + 7 / 1.2, 8, 8, 1])
    assert penalised([8, 8], [300, 100], 1.0) == pytest.approx([1 + 7 / 1.5, 8])


@given(GROUP)
def test_without_a_penalty_nothing_changes(group: list[tuple[float, int]]) -> None:
    assert taken(group, 0.0) == [mean for mean, _ in group]


@given(st.lists(MEAN, min_size=1, max_size=12), LENGTH, PENALTY)
def test_equal_lengths_change_nothing(means: list[float], length: int, penalty: float) -> None:
    assert penalised(means, [length] * len(means), penalty) == means


@given(GROUP, PENALTY)
def test_only_those_above_the_mean_length_lose_and_all_stay_scores(
    group: list[tuple[float, int]], penalty: float
) -> None:
    for (mean, _), longer, left in zip(
        group, relative([length for _, length in group]), taken(group, penalty), strict=True
    ):
        assert 1 <= left <= mean + CLOSE
        assert longer > 0 or left == mean


@given(GROUP, PENALTY, st.integers(0, 2_000_000))
def test_a_longer_response_never_gains(group: list[tuple[float, int]], penalty: float, more: int) -> None:
    (mean, length), *others = group
    assert taken([(mean, length + more), *others], penalty)[0] <= taken(group, penalty)[0] + CLOSE


@given(GROUP, PENALTY, PENALTY)
def test_a_larger_penalty_never_gives(group: list[tuple[float, int]], one: float, other: float) -> None:
    for weak, strong in zip(taken(group, min(one, other)), taken(group, max(one, other)), strict=True):
        assert strong <= weak + CLOSE


@given(MEAN, MEAN, LENGTH, GROUP, PENALTY)
def test_of_one_length_the_better_stays_better(
    one: float, other: float, length: int, others: list[tuple[float, int]], penalty: float
) -> None:
    worse, better, *_ = taken([(min(one, other), length), (max(one, other), length), *others], penalty)
    assert worse <= better


@given(st.permutations(range(6)), st.lists(st.tuples(MEAN, LENGTH), min_size=6, max_size=6), st.integers(2, 9), PENALTY)
def test_neither_numbering_nor_unit_matters(
    numbering: list[int], group: list[tuple[float, int]], unit: int, penalty: float
) -> None:
    before = taken(group, penalty)
    assert taken([group[index] for index in numbering], penalty) == [before[index] for index in numbering]
    assert taken([(mean, length * unit) for mean, length in group], penalty) == pytest.approx(before)


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(1, 9999)), min_size=2, max_size=12))
def test_of_one_group_it_is_pearsons(group: list[tuple[int, int]]) -> None:
    means, lengths = zip(*group, strict=True)
    found = products(means, lengths).correlation
    if len(set(means)) == 1 or len(set(lengths)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(pearson(means, lengths), abs=1e-6)


@given(GROUP, st.integers(1, 1000), st.floats(-5, 5))
def test_prompts_of_long_answers_and_easy_ones_count_like_others(
    group: list[tuple[float, int]], unit: int, easier: float
) -> None:
    means, lengths = [mean for mean, _ in group], [length for _, length in group]
    one = products(means, lengths)
    other = products([mean + easier for mean in means], [length * unit for length in lengths])
    assume(one.correlation is not None and min(one.lengths, one.means) > 1e-6)
    assert other.correlation == pytest.approx(one.correlation, abs=1e-6)
    assert one.correlation is not None
    assert -1 <= one.correlation <= 1


@pytest.mark.parametrize("group", [[], [(5.0, 9)], [(5.0, 9), (5.0, 3)], [(5.0, 9), (7.0, 9)], [(0.1, 7)] * 3])
def test_nothing_tells_where_all_is_alike(group: list[tuple[float, int]]) -> None:
    assert products([mean for mean, _ in group], [length for _, length in group]).correlation is None
    assert Products().correlation is None


def test_groups_are_pooled_and_the_last_ones_count() -> None:
    pool = LengthCorrelation()
    assert pool.of_rewards is None
    pool.learn([5.0], [10])
    assert pool.of_rewards is None
    pool.learn([4.0, 6.0], [50, 150])
    assert pool.of_rewards == pytest.approx(1.0)
    pool.learn([6.0, 4.0], [5, 15])
    assert pool.of_rewards == pytest.approx(0.0, abs=1e-3)
    for _ in range(10 * REMEMBERED_GROUPS):
        pool.learn([6.0, 4.0], [50, 150])
    assert pool.of_rewards == pytest.approx(-1.0, abs=1e-3)


async def test_the_judge_tells_the_correlation_with_every_reward_that_rests_on_votes() -> None:
    judge = Judge(make_config(), scoring(by_number))
    rewards = (await judge_one(judge, "9 is much longer", "2", " ")).rewards
    assert [reward.length_corr for reward in rewards] == [pytest.approx(1.0), pytest.approx(1.0), None]
    (evaluated,) = await judge.judge([make_group("2 is much longer", "9")], learn=False)
    assert [reward.length_corr for reward in evaluated.rewards] == [pytest.approx(1.0)] * 2
    assert judge.length.of_rewards == pytest.approx(1.0), "evaluation asks the policy otherwise"


async def test_the_judge_takes_the_penalty_from_the_reward_and_not_from_the_votes() -> None:
    texts = ("8" + "." * 199, "8" + "." * 19, "8" + "." * 99, "8" + "." * 99, " ", "8" + "." * 79)
    method = {"normalize__method": "none"}
    free = await judge_one(Judge(make_config(**method), scoring(by_number)), *texts)
    priced = await judge_one(Judge(make_config(**method, normalize__length_penalty=0.2), scoring(by_number)), *texts)
    assert [reward.value for reward in free.rewards] == [8, 8, 8, 8, 1, 8]
    # The blank one does not count: the others have 100 characters in the mean.
    assert [reward.value for reward in priced.rewards] == [pytest.approx(1 + 7 / 1.2), 8, 8, 8, 1, 8]
    assert [reward.mean for reward in priced.rewards] == [8, 8, 8, 8, 1, 8]
    assert priced.rewards[3].same_as == 2
    assert [reward.length_corr for reward in free.rewards] == [None] * 6
    assert priced.rewards[0].length_corr == pytest.approx(-0.9, abs=0.1)
