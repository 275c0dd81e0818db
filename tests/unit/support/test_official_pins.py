"""Pins of official figures: what is no pin, or not of the rule's version, is refused before anything is compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.errors import ConfigError
from grm_plugin.evals.benchmarks.suites import SUITES
from support.official_pins import all_pins, read_pin, records_of, require_version

ROW = {"subset": "donotanswer", "id": 5, "prompt": "q", "chosen": "good", "rejected": "bad"}
PIN = {
    "suite": "rewardbench",
    "code": "allenai/reward-bench",
    "version": "0.1.2",
    "commit": "0",
    "date": "2026-11-30",
    "verified": True,
    "judge": "generative",
    "note": "",
    "files": {"rows.jsonl": [ROW, ROW | {"id": 6, "prompt": "another"}]},
    "votes": {
        "donotanswer/5": [{"scores": [9, 2], "order": [0, 1]}, {"scores": None, "order": [1, 0]}],
        "donotanswer/6": [{"scores": [9, 2], "order": [0, 1]}, {"scores": [1, 2], "order": [1, 0]}],
    },
    "figures": {"": 1.0},
}
PINS = all_pins()


def written(folder: Path, **changes: Any) -> Path:
    content = {name: value for name, value in (PIN | changes).items() if value is not None}
    path = folder / "case.json"
    path.write_text(json.dumps(content))
    return path


def test_a_pin_becomes_a_vote_store(tmp_path: Path) -> None:
    pin = read_pin(written(tmp_path))
    (tmp_path / "rows").mkdir()
    manifest, records = records_of(pin, tmp_path / "rows")
    assert (pin.name, manifest.suite, manifest.k, manifest.judge) == ("case", "rewardbench", 2, "generative")
    [first, second] = records
    assert first.item.responses == ("good", "bad")
    assert [vote.scores for vote in first.votes] == [(9.0, 2.0), None]
    assert second.votes[1].order == (1, 0)


def test_a_pin_of_another_version_than_the_rule_is_refused(tmp_path: Path) -> None:
    require_version(read_pin(written(tmp_path, version="0.1.5")))
    with pytest.raises(ConfigError, match=r"0\.1\.2, but the rule is of 0\.1\.5: run the official code again"):
        require_version(read_pin(written(tmp_path)))
    with pytest.raises(ConfigError, match=r"but the rule is of allenai/reward-bench 0\.1\.5: run the official code"):
        require_version(read_pin(written(tmp_path, code="another/code")))
    with pytest.raises(ConfigError, match="no official rule"):
        require_version(read_pin(written(tmp_path, suite="jsonl")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commit": None}, "commit"),
        ({"colour": "blue"}, "colour"),
        ({"data": {"files": ["a"], "judge": "digest"}}, "either data, or files and votes"),
        ({"votes": None}, "either data, or files and votes"),
    ],
    ids=["a field is missing", "a field is unknown", "data and votes", "no votes"],
)
def test_what_is_no_pin_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_pin(written(tmp_path, **changes))


def test_votes_and_items_must_be_the_same_ones(tmp_path: Path) -> None:
    stray = {"donotanswer/7": PIN["votes"]["donotanswer/6"], "donotanswer/5": PIN["votes"]["donotanswer/5"]}  # type: ignore[index]
    (tmp_path / "rows").mkdir()
    with pytest.raises(ConfigError, match=r"votes without an item: donotanswer/7; items without votes: donotanswer/6"):
        records_of(read_pin(written(tmp_path, votes=stray)), tmp_path / "rows")


def test_all_items_must_have_as_many_votes(tmp_path: Path) -> None:
    fewer = {name: votes[: 1 + (name == "donotanswer/5")] for name, votes in PIN["votes"].items()}  # type: ignore[attr-defined]
    (tmp_path / "rows").mkdir()
    with pytest.raises(ConfigError, match="the same number of votes"):
        records_of(read_pin(written(tmp_path, votes=fewer)), tmp_path / "rows")


@pytest.mark.parametrize("pin", PINS, ids=[pin.name for pin in PINS])
def test_every_pin_can_be_read(pin: Any, tmp_path: Path) -> None:
    if pin.suite not in SUITES:
        pytest.skip(f"there is no suite {pin.suite} yet")
    if not pin.at_hand:
        pytest.skip("its published files are not here; set GRM_BENCH_DATA")
    manifest, records = records_of(pin, tmp_path)
    assert records
    assert manifest.suite == pin.suite
    assert all(-1 <= figure <= 1 for figure in pin.figures.values())
    assert pin.figures
