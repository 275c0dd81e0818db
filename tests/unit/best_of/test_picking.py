"""What picking is worth, against counting all draws: good scorers, blind ones, and those that are wrong on purpose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from math import comb
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.best_of.coverage import pass_at_k
from grm_plugin.best_of.picking import by_score, by_vote, shifted

RIGHT = [True, False, False, True, False, False]

answers = st.sampled_from([None, "a", "b", "c"])
samples = st.lists(st.tuples(st.sampled_from([None, -1.5, 0.0, 2.0]), answers, st.booleans()), min_size=1, max_size=7)


def counted_by_score(scores: Sequence[float | None], right: Sequence[bool], k: int) -> float:
    worth = []
    for draw in combinations(range(len(right)), k):
        known = [(scores[i], i) for i in draw if scores[i] is not None]
        best = [i for score, i in known if score == max(known)[0]] if known else draw
        worth.append(fmean(right[i] for i in best))
    return fmean(worth)


def counted_by_vote(given: Sequence[str | None], weights: Sequence[float], right: Sequence[bool], k: int) -> float:
    worth = []
    for draw in combinations(range(len(right)), k):
        votes: Counter[str] = Counter()
        for i in draw:
            if (answer := given[i]) is not None:
                votes[answer] += weights[i]  # type: ignore[assignment]
        best = [answer for answer, votes_for in votes.items() if votes_for == max(votes.values())]
        of = [fmean(right[i] for i in draw if given[i] == answer) for answer in best]
        worth.append(fmean(of) if of else fmean(right[i] for i in draw))
    return fmean(worth)


@given(samples, st.data())
def test_by_score_it_is_what_counting_gives(
    found: list[tuple[float | None, str | None, bool]], data: st.DataObject
) -> None:
    scores, _, right = zip(*found, strict=True)
    k = data.draw(st.integers(1, len(right)))
    assert by_score(scores, right, k) == pytest.approx(counted_by_score(scores, right, k))


@given(samples, st.data())
def test_by_vote_it_is_what_counting_gives(
    found: list[tuple[float | None, str | None, bool]], data: st.DataObject
) -> None:
    scores, given_answers, right = zip(*found, strict=True)
    k = data.draw(st.integers(1, len(right)))
    for weights in ([1.0] * len(right), shifted(scores)):
        value, exact = by_vote(given_answers, weights, right, k, (0,))
        assert exact
        assert value == pytest.approx(counted_by_vote(given_answers, weights, right, k))


@pytest.mark.parametrize("k", range(1, 7))
def test_a_perfect_scorer_reaches_coverage_a_blind_one_nothing_and_a_hostile_one_less(k: int) -> None:
    n, c = len(RIGHT), sum(RIGHT)
    assert by_score([float(it) for it in RIGHT], RIGHT, k) == pytest.approx(pass_at_k(n, c, k))
    assert by_score([3.0] * n, RIGHT, k) == pytest.approx(c / n)
    assert by_score([None] * n, RIGHT, k) == pytest.approx(c / n)
    assert by_score([-float(it) for it in RIGHT], RIGHT, k) == pytest.approx(comb(c, k) / comb(n, k))


def test_a_sample_without_a_score_is_picked_only_where_nothing_else_was_drawn() -> None:
    assert by_score([None, -7.0], [True, False], 2) == 0.0
    assert by_score([None, -7.0], [True, False], 1) == 0.5


def test_negative_scores_do_not_punish_an_answer_for_being_given_often() -> None:
    given_answers, scores, right = ["a", "a", "a", "b"], [-1.0, -1.0, -1.0, -2.0], [True, True, True, False]
    assert shifted(scores) == [1.0, 1.0, 1.0, 0.0]
    assert by_vote(given_answers, shifted(scores), right, 4, (0,)) == (1.0, True)
    plain = {"a": -3.0, "b": -2.0}
    assert max(plain, key=plain.__getitem__) == "b"  # what summing them as they are would pick
    assert shifted([2.0, None, 5.0]) == [2.0, 0.0, 5.0]
    assert shifted([None, -3.0]) == [0.0, 0.0]
    assert shifted([None, None]) == [0.0, 0.0]


def test_some_draws_are_near_to_all_and_the_same_every_time() -> None:
    given_answers, right = ["a"] * 5 + ["b"] * 4 + ["c"] * 4, [True] * 5 + [False] * 8
    weights = [1.0] * 13
    whole, exact = by_vote(given_answers, weights, right, 6, (0,))
    assert exact
    more = (given_answers * 2, weights * 2, right * 2, 12)
    some, exact = by_vote(*more, (0,))
    assert not exact
    assert (some, exact) == by_vote(*more, (0,))
    assert some != by_vote(*more, (1,))[0]
    assert abs(some - whole) < 0.25
    tenth = by_vote([*given_answers, "d"], [*weights, 1.0], [*right, False], 7, (0,))
    assert not tenth[1]
    assert tenth[0] == pytest.approx(counted_by_vote([*given_answers, "d"], [1.0] * 14, [*right, False], 7), abs=0.06)
