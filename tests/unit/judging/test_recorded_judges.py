"""Recorded outputs of real judges: what is read must be what was meant; a vote may be lost, never misread."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from grm_plugin.judging.answers import read
from grm_plugin.types import Completion, Scores
from support.factories import make_config
from support.paths import ROOT

REAL = Path(os.environ.get("GRM_BENCH_DATA", ROOT.parent / "shared" / "data"))
needs_files = pytest.mark.skipif(not REAL.is_dir(), reason=f"no recorded outputs at {REAL}; set GRM_BENCH_DATA")

DECISIONS = {(10, 1): "A>B", (1, 10): "B>A", (5.5, 5.5): "A=B"}


@needs_files
def test_verdicts_are_the_recorded_decisions() -> None:
    judge = make_config(judge={"answer": "verdict", "list_size": 2}).judge
    rows = 0
    for file in (REAL / "judgebench" / "outputs").glob("*judge_model=claude-3-haiku*"):
        for line in file.read_text(encoding="utf-8").splitlines():
            for judgment in json.loads(line)["judgments"]:
                found = read(Completion(judgment["judgment"]["response"]), 2, judge)
                decision = DECISIONS[found.values] if isinstance(found, Scores) else None  # type: ignore[index]
                assert decision == judgment["decision"]
                rows += 1
    assert rows == 540


@needs_files
def test_j1_is_read_as_by_its_own_reader() -> None:
    judge = make_config(judge={"preset": "j1"}).judge
    with (REAL / "j1" / "j1_micro_rewardbench.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    (column,) = (name for name in rows[0] if name.endswith("DirectScoreJudge]_score"))
    found = [read(Completion(row[column]), 2, judge) for row in rows]
    wanted = [tuple(json.loads(row["pairwise_score"])) for row in rows]
    assert [each.values for each in found if isinstance(each, Scores)] == wanted
