"""The reader on recorded outputs of judges, where they are at hand: a false read is worse than a lost vote."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from grm_plugin.judging.parsing import parse
from support.recorded_outputs import (
    REAL,
    Reading,
    count,
    j1_drafts,
    j1_outputs,
    judgebench_outputs,
    judgebench_responses,
)
from support.verdict_forms import Form

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"no recorded outputs at {REAL}; set GRM_BENCH_DATA")


def test_every_verdict_of_j1_is_read_as_by_its_own_reader() -> None:
    assert count(parse, list(j1_outputs())) == Reading(outputs=20, read=20, lost=0, left=0, misread=0)


@pytest.mark.parametrize("texts", [j1_drafts, judgebench_outputs, judgebench_responses])
def test_nothing_is_read_off_a_text_without_a_verdict(texts: Callable[[], Iterator[Form]]) -> None:
    reading = count(parse, list(texts()))
    assert reading.outputs >= 500
    assert (reading.read, reading.misread) == (0, 0)
