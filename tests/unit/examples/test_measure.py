from __future__ import annotations

import pytest

from examples.nano.domain import Task
from examples.nano.groups import RankedGroup
from examples.nano.measure import ParsedVote, bootstrap, comment_hits, correlation, vote_accuracy

GROUP = RankedGroup(
    Task("Name", 2, "fruits", "commas", None), ("plum, fig. Enjoy!", "plum, cat. Go away."), (1.0, 0.6), 0
)


def test_vote_accuracy_counts_ties_as_wrong() -> None:
    right, tie, wrong = ParsedVote((8, 3), 2.0), ParsedVote((5, 5), 0.0), ParsedVote((1, 9), -1.0)
    assert vote_accuracy(GROUP, [right], 1, 1) == 1
    assert vote_accuracy(GROUP, [tie], 1, 1) == 0
    assert vote_accuracy(GROUP, [right, wrong], 2, 2) == 0
    assert vote_accuracy(GROUP, [wrong, right], 2, 1) == 1
    assert vote_accuracy(GROUP, [], 1, 1) == 0


def test_comments_are_checked_in_the_order_shown() -> None:
    text = "Response 1: Courtesy bad, Accuracy excellent\nResponse 2: Courtesy excellent"
    assert comment_hits(GROUP, (1, 0), text) == [True, False, True]
    assert comment_hits(GROUP, (0, 1), text) == [False, True, False]


def test_bootstrap_and_correlation() -> None:
    estimate = bootstrap([0.0, 1.0] * 200)
    assert estimate.mean == 0.5
    assert 0.44 < estimate.low < 0.47 < 0.53 < estimate.high < 0.56
    assert correlation(GROUP, (9, 4)) == pytest.approx(1)
    assert correlation(GROUP, (4, 4)) is None
