"""The summary of the comparison of rewards, against figures worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.comparison.__main__ import require_steps
from examples.comparison.summary import summarise
from grm_plugin.errors import ConfigError


def run(**quality: float) -> dict[str, object]:
    return {"true_quality_by_step": {step.removeprefix("at"): {"mean": mean} for step, mean in quality.items()}}


def test_gains_are_paired_by_seed_and_leave_the_start_out() -> None:
    table = summarise(
        {
            "k=1": [run(at0=0.4, at10=0.5, at20=0.6), run(at0=0.4, at10=0.4, at20=0.5)],
            "k=8": [run(at0=0.4, at10=0.6, at20=0.8), run(at0=0.4, at10=0.6, at20=0.6)],
        }
    )
    assert table["k=1"]["gain"] == 0
    assert table["k=8"]["gains"] == pytest.approx([0.15, 0.15])
    assert [point["step"] for point in table["k=8"]["steps"]] == [0, 10, 20]
    assert table["k=8"]["steps"][2] == {"step": 20, "mean": pytest.approx(0.7), "runs": [0.8, 0.6]}


def test_seeds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        summarise({"k=1": [run(at0=0.4, at10=0.5)], "k=8": []})


def test_finished_jobs_of_another_length_are_refused(tmp_path: Path) -> None:
    for name in ("k1_seed1", "k8_seed1"):
        (tmp_path / name).mkdir()
    (tmp_path / "k8_seed1/summary.json").write_text(json.dumps({"steps": 2}))
    folders = list(tmp_path.iterdir())
    require_steps(folders, 2)
    with pytest.raises(ConfigError, match=r"k8_seed1 holds a job of 2 steps, not 30: give --steps 2 or"):
        require_steps(folders, 30)
