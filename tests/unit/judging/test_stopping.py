"""Early stopping against the figures of its derivation, and what must not change it."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grm_plugin.judging.stopping import AdvantageKnown, WinnerKnown, advantage_error
from grm_plugin.judging.student import student_quantile
from grm_plugin.types import Stopped

WINNER = WinnerKnown(0.05)
ADVANTAGE = AdvantageKnown(0.3, WINNER)
LOOKS = (8, 16, 24)
K = 32


def votes_on(means: Sequence[float], count: int, rng: random.Random, lenience: float = 0.8, noise: float = 1.2) -> list:
    """Scores by whole points: what a response deserves, how lenient the critique is, and chance."""
    rows = []
    for _ in range(count):
        shift = rng.gauss(0, lenience)
        rows.append([min(10.0, max(1.0, round(mean + shift + rng.gauss(0, noise)))) for mean in means])
    return rows


def stopped_at(rule: WinnerKnown | AdvantageKnown, votes: list) -> tuple[int, Stopped]:
    for look in LOOKS:
        if why := rule.look(votes[:look], look / K):
            return look, why
    return K, Stopped.ALL


def winner_of(votes: list) -> int:
    totals = [math.fsum(column) for column in zip(*votes, strict=True)]
    return totals.index(max(totals))


@pytest.mark.parametrize(
    ("p", "degrees", "expected"),
    [
        (0.95, 1, 6.3138), (0.95, 2, 2.9200), (0.95, 3, 2.3534), (0.95, 7, 1.8946), (0.95, 15, 1.7531),
        (0.95, 23, 1.7139), (0.975, 7, 2.3646), (0.99, 4, 3.7469), (0.5, 5, 0.0), (0.99, 3, 4.5407),
        (0.999, 3, 10.2145), (0.05, 7, -1.8946), (0.999, 30, 3.3852), (0.999, 31, 3.3749), (0.95, 120, 1.6577),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_the_tables(p: float, degrees: int, expected: float) -> None:
    assert student_quantile(p, degrees) == pytest.approx(expected, abs=0.0005)


class TestWinner:
    def test_a_clear_lead_is_known_and_a_close_one_is_not(self) -> None:
        assert WINNER.look([[8, 3], [7, 4], [9, 3], [8, 2], [8, 3], [7, 3], [8, 4], [9, 2]], 0.25) is Stopped.WINNER
        assert WINNER.look([[6, 5], [5, 6], [6, 5], [5, 7], [7, 5], [5, 5], [6, 6], [6, 5]], 0.25) is None

    def test_few_votes_and_single_responses_say_nothing(self) -> None:
        """Two equal votes are no certainty: where scores are whole they happen by chance half the time."""
        assert WINNER.look([[5, 6], [5, 6]], 0.25) is None
        assert WINNER.look([[5]] * 8, 0.25) is None
        assert WINNER.look([], 0.25) is None

    def test_every_rival_must_be_behind(self) -> None:
        rows = [[9, 8, 1], [8, 9, 2], [9, 8, 1], [8, 9, 1], [9, 9, 2], [8, 8, 1], [9, 8, 2], [8, 9, 1]]
        assert WINNER.look(rows, 0.25) is None
        assert WINNER.look([[row[0], row[2]] for row in rows], 0.25) is Stopped.WINNER

    def test_the_nearer_the_end_the_smaller_a_lead_suffices(self) -> None:
        rows = [[6, 5], [6, 6], [7, 5], [5, 6], [6, 5], [5, 6], [6, 5], [5, 5]]
        assert [WINNER.look(rows, share) is Stopped.WINNER for share in (0.1, 0.5, 0.9)] == [False, False, True]

    def test_less_flip_is_surer(self) -> None:
        rng = random.Random(4)
        groups = [votes_on([6.5, 5.5], K, rng) for _ in range(300)]
        spent = [fmean(stopped_at(WinnerKnown(flip), votes)[0] for votes in groups) for flip in (0.2, 0.05, 0.01)]
        assert spent == sorted(spent)

    def test_it_saves_votes_and_keeps_the_winner(self) -> None:
        """Four responses whose means differ by about a point: about 19 of 32 votes, and 1 % of other winners."""
        rng = random.Random(5)
        spent, flips = [], 0
        for _ in range(1500):
            votes = votes_on([rng.gauss(6.2, 1.0) for _ in range(4)], K, rng)
            count, _ = stopped_at(WINNER, votes)
            spent.append(count)
            flips += winner_of(votes[:count]) != winner_of(votes)
        assert 16 < fmean(spent) < 22
        assert flips / 1500 < 0.02

    def test_a_tie_is_not_called_settled_more_often_than_predicted(self) -> None:
        """Two equal responses: all 32 votes would name another winner no more often than `flip` says, per look."""
        rng = random.Random(6)
        flips = 0
        for _ in range(2000):
            votes = votes_on([6.3, 6.3], K, rng)
            count, why = stopped_at(WINNER, votes)
            flips += why is Stopped.WINNER and winner_of(votes[:count]) != winner_of(votes)
        assert flips / 2000 < 3 * WINNER.flip


class TestAdvantage:
    @pytest.mark.parametrize(("count", "expected"), [(8, 0.268), (16, 0.190), (32, 0.134)])
    def test_the_error_of_independent_votes_is_that_of_the_closed_form(self, count: int, expected: float) -> None:
        """Means 5, 6, 7, 8 and noise of 1.2: (s / sd) sqrt((n - 2) / (n t))."""
        rng = random.Random(7)
        squares = []
        for _ in range(1500):
            rows = [[mean + rng.gauss(0, 1.2) for mean in (5, 6, 7, 8)] for _ in range(count)]
            if (error := advantage_error(rows)) is not None:
                squares.append(error * error)
        assert math.sqrt(fmean(sorted(squares)[len(squares) // 20 : -len(squares) // 20])) == pytest.approx(
            expected, rel=0.08
        )

    def test_it_stops_at_about_its_tolerance(self) -> None:
        rng = random.Random(8)
        truth = [5.0, 6.0, 7.0, 8.0]
        advantages = [(mean - 6.5) / math.sqrt(1.25) for mean in truth]
        errors = []
        for _ in range(1500):
            rows = [[mean + rng.gauss(0, 1.6) for mean in truth] for _ in range(K)]
            count, _ = stopped_at(ADVANTAGE, rows)
            means = [fmean(column) for column in zip(*rows[:count], strict=True)]
            middle, sd = fmean(means), math.sqrt(fmean((mean - fmean(means)) ** 2 for mean in means))
            errors.append(fmean(((m - middle) / sd - a) ** 2 for m, a in zip(means, advantages, strict=True)))
        assert math.sqrt(fmean(errors)) < 1.2 * ADVANTAGE.tolerance

    def test_means_are_hardly_moved_by_stopping(self) -> None:
        """By a few hundredths of a point: the spread that the rule sees is an estimate, too."""
        rng = random.Random(9)
        truth = [5.5, 6.0, 7.0]
        sums = [0.0] * 3
        for _ in range(1500):
            rows = [[mean + rng.gauss(0, 1.2) for mean in truth] for _ in range(K)]
            count, _ = stopped_at(ADVANTAGE, rows)
            for index, column in enumerate(zip(*rows[:count], strict=True)):
                sums[index] += fmean(column)
        assert [total / 1500 for total in sums] == pytest.approx(truth, abs=0.08)

    def test_ties_end_as_futile_and_cost_little(self) -> None:
        rng = random.Random(10)
        ends = [stopped_at(ADVANTAGE, votes_on([6.0] * 4, K, rng)) for _ in range(1000)]
        assert {why for _, why in ends} <= {Stopped.FUTILE, Stopped.ALL, Stopped.PRECISE}
        assert sum(why is Stopped.FUTILE for _, why in ends) > 700
        assert sum(why is Stopped.PRECISE for _, why in ends) < 20
        assert fmean(count for count, _ in ends) < 20

    def test_two_responses_are_a_question_of_who_wins(self) -> None:
        rows = [[8, 3], [7, 4], [9, 3], [8, 2], [8, 3], [7, 3], [8, 4], [9, 2]]
        assert ADVANTAGE.look(rows, 0.25) is Stopped.WINNER
        assert ADVANTAGE.look([[5.0]] * 16, 0.5) is None
        assert ADVANTAGE.look(rows[:4], 0.5) is Stopped.WINNER
        assert ADVANTAGE.look([[1, 5, 9]] * 4, 0.5) is None, "four votes are too few for this"

    def test_equal_scores_throughout_are_a_tie_and_no_error(self) -> None:
        assert ADVANTAGE.look([[5, 5, 5]] * 8, 0.25) is Stopped.FUTILE


scores = st.integers(2, 5).flatmap(
    lambda n: st.lists(st.lists(st.integers(1, 10), min_size=n, max_size=n), min_size=8, max_size=12)
)


@settings(max_examples=200, deadline=None)
@given(scores, st.floats(0.1, 0.9), st.data())
def test_neither_numbering_nor_lenience_matters(rows: list[list[int]], share: float, data: st.DataObject) -> None:
    """Relabelling responses, or adding a constant to all scores of a critique, changes nothing."""
    numbering = data.draw(st.permutations(range(len(rows[0]))))
    shifts = data.draw(st.lists(st.integers(-5, 5), min_size=len(rows), max_size=len(rows)))
    other = [[row[index] + shift for index in numbering] for row, shift in zip(rows, shifts, strict=True)]
    for rule in (WINNER, ADVANTAGE):
        assert rule.look(other, share) is rule.look(rows, share)
