"""Functions are taken out of a file whose imports are not at hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from support.paths import ROOT

SOURCE = """
import no_such_package

WEIGHTS = {"a": 2}

def main():
    results = []
    def judge(score: no_such_package.Score) -> float:
        return score * WEIGHTS["a"] + offset
    results = [1 if chosen > rejected else 0 for chosen, rejected in zip(scores_chosen, scores_rejected)]
"""


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "tests" / "official")
    return importlib.import_module("official_code")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SOURCE)
    return path


def test_a_function_inside_another_runs_with_what_it_is_given(code: ModuleType, script: Path) -> None:
    assert code.names_of(script, "judge", "WEIGHTS", offset=3)["judge"](4) == 11


def test_a_name_that_is_gone_is_told(code: ModuleType, script: Path) -> None:
    with pytest.raises(LookupError, match="has no other"):
        code.names_of(script, "judge", "other")


def test_the_comparison_of_a_script_is_run(code: ModuleType, script: Path) -> None:
    assert code.comparison_of(script, [2.0, 1.0, 0.5], [1.0, 1.0, 0.7]) == [1, 0, 0]
