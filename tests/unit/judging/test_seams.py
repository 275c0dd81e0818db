"""Answers of engines that are none are refused."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest

from grm_plugin.errors import EngineError
from grm_plugin.judging.seams import check_completions, check_logits
from grm_plugin.types import Completion

ONE = Completion("text", "stop", 3)


def test_good_answers_pass() -> None:
    check_completions([ONE, ONE], n=2)
    check_logits([1.0, -2], n=2)
    check_logits([], n=0)


@pytest.mark.parametrize(
    "answer",
    [None, [], [ONE], [ONE] * 3, (ONE, ONE), "ab", [ONE, "b"], [ONE, None], [ONE, Completion(None)]],  # type: ignore[arg-type]
)
def test_no_completions(answer: Any) -> None:
    with pytest.raises(EngineError, match=r"the GRM (answered|must answer) with"):
        partial(check_completions, n=2)(answer)


@pytest.mark.parametrize(
    "answer", [None, [], [1.0], [1.0] * 3, "ab", [1.0, "b"], [1.0, None], [1.0, math.nan], [math.inf, 1.0]]
)
def test_no_logits(answer: Any) -> None:
    with pytest.raises(EngineError, match=r"the meta RM (answered|must answer) with"):
        check_logits(answer, n=2)
