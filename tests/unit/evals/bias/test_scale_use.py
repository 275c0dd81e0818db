"""Which scores a judge gives."""

from __future__ import annotations

import pytest

from grm_plugin.evals.bias.scale_use import scale_use
from support.vote_factories import make_record, vote


def test_by_hand() -> None:
    found = scale_use([make_record([vote(9, 1), vote(5, 5), vote(), vote(8.6, 1)])], scalar=False)
    assert found is not None
    assert (found.scores, found.values, found.histogram) == (6, 4, {1: 2, 5: 2, 9: 2})
    assert found.deviation == pytest.approx((206.96 / 6 - (29.6 / 6) ** 2) ** 0.5)  # of 9, 1, 5, 5, 8.6, 1
    assert found.tied is not None
    assert (found.tied.value, found.tied.n) == (pytest.approx(1 / 3), 3)


def test_logits_have_no_histogram_and_single_responses_no_first_place() -> None:
    found = scale_use([make_record([vote(-3.25, 4.5)])], scalar=True)
    assert found is not None
    assert (found.histogram, found.values) == (None, 2)
    found = scale_use([make_record([vote(7)], label=1)], scalar=False)
    assert found is not None
    assert (found.tied, found.histogram) == (None, {7: 1})
    assert scale_use([make_record([vote()])], scalar=False) is None
