"""Recorded outputs of real judges, by the settings for them: what is read must be what was meant, and all is read."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from grm_plugin.judging.answers import read
from support import recorded_outputs as recorded
from support.factories import make_config

needs_files = pytest.mark.skipif(
    not recorded.REAL.is_dir(), reason=f"no recorded outputs at {recorded.REAL}; set GRM_BENCH_DATA"
)


@needs_files
@pytest.mark.parametrize(
    ("settings", "outputs", "rows"),
    [
        pytest.param({"answer": "verdict", "list_size": 2}, recorded.judgebench_verdicts, 540, id="verdict"),
        pytest.param({"preset": "j1"}, recorded.j1_outputs, 20, id="j1"),
    ],
)
def test_verdicts_are_the_recorded_ones(settings: dict[str, Any], outputs: Any, rows: int) -> None:
    reading = recorded.count(partial(read, judge=make_config(judge=settings).judge), list(outputs()))
    assert reading.outputs == rows == reading.read + reading.left
    assert (reading.lost, reading.misread) == (0, 0)
