"""What scores by criteria come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grm_plugin.judging.criteria import combined, scores_by
from grm_plugin.types import Criterion, CriterionKind

SCALE, SECOND = Criterion("a", "a", 3.0), Criterion("b", "b", 1.0)
YES, MUST = Criterion("y", "y", 1.0, "yes_no"), Criterion("m", "m", 1.0, "must")
FAULT, OTHER = Criterion("p", "p", 2.0, "penalty"), Criterion("q", "q", 2.0, "penalty")

KINDS = st.sampled_from(("scale", "yes_no", "must", "penalty"))
SETS = st.lists(st.tuples(KINDS, st.floats(0.1, 10), st.one_of(st.none(), st.floats(1, 10))), min_size=1, max_size=8)


def criteria_of(rows: list[tuple[CriterionKind, float, float | None]]) -> list[Criterion]:
    return [Criterion(str(number), "x", weight, kind) for number, (kind, weight, _) in enumerate(rows)]


@pytest.mark.parametrize(
    ("criteria", "scores", "expected"),
    [
        ([SCALE, SECOND], [10, 2], 8.0),
        ([SCALE, YES], [6, 10], 7.0),
        ([SCALE, MUST], [6, 10], 6.0),
        ([SCALE, MUST], [10, 1], 1.0),
        ([MUST], [10], 10.0),
        ([MUST], [1], 1.0),
        ([SCALE, FAULT], [10, 10], 10.0),  # 10: the fault is not there
        ([SCALE, FAULT], [10, 1], 4.0),  # (3 - 2) / 3 of the scale
        ([SECOND, FAULT], [10, 1], 1.0),  # no lower than the lowest score
        ([FAULT, OTHER], [1, 10], 5.5),  # only penalties: what is left of a whole
        ([SCALE, SECOND], [None, 2], 2.0),  # what cannot be read costs itself
        ([SCALE, MUST], [6, None], 6.0),
        ([SCALE], [None], None),
        ([SCALE, MUST], [None, 10], None),  # a must says nothing of how good a response is
        ([SCALE, MUST], [None, 1], 1.0),
        ([SCALE, FAULT], [None, 10], None),  # nor does a fault that is not there
        ([FAULT, MUST], [None, 10], None),
        ([FAULT, MUST], [10, None], 10.0),
    ],
)
def test_what_criteria_come_to(criteria: list[Criterion], scores: list[float | None], expected: float | None) -> None:
    assert combined(criteria, scores) == (None if expected is None else pytest.approx(expected))


@given(SETS)
def test_it_is_a_score_or_nothing(rows: list[tuple[CriterionKind, float, float | None]]) -> None:
    score = combined(criteria_of(rows), [score for *_, score in rows])
    assert score is None or 1 <= score <= 10
    assert score is not None or any(score is None for *_, score in rows)


@given(SETS, st.integers(0, 7), st.floats(0, 5))
def test_better_by_one_is_never_worse(
    rows: list[tuple[CriterionKind, float, float | None]], which: int, more: float
) -> None:
    criteria, scores = criteria_of(rows), [score for *_, score in rows]
    better = list(scores)
    old = better[which % len(rows)]
    better[which % len(rows)] = None if old is None else min(10.0, old + more)
    before, after = combined(criteria, scores), combined(criteria, better)
    assert before is None or (after is not None and after >= before - 1e-9)


@given(SETS, st.randoms())
def test_their_order_changes_nothing(rows: list[tuple[CriterionKind, float, float | None]], rng: object) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (combined(criteria_of(each), [score for *_, score in each]) for each in (rows, shuffled))
    assert one == (None if other is None else pytest.approx(other))


def test_responses_are_scored_one_by_one() -> None:
    assert scores_by([SCALE, SECOND], [(10, 1), (2, 1)], 2) == (pytest.approx(8.0), 1.0)
    assert scores_by([SCALE, SECOND], [None, (2, 1)], 2) == (pytest.approx(2.0), 1.0)
    assert scores_by([SCALE, SECOND], [None, None], 2) is None
