"""Stores, traces, manifests and saved states that version 0.1.0 wrote are read, and its runs go on from them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from typer.testing import CliRunner

from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError
from grm_plugin.judging.running_stats import RunningStats

WRITTEN = Path(__file__).with_name("written_by_0_1_0")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files, in which commands run."""
    copy = tmp_path / "copy"
    shutil.copytree(WRITTEN, copy)
    monkeypatch.chdir(copy)
    return copy


def run(*arguments: str) -> str:
    """What a command says, once it has ended well."""
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def figures(report: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Subset and method -> the figures of a report; intervals are computed in another way since then."""
    rows = json.loads(report.read_text())["rows"]
    names = ("metric", "mean", "n", "lenient", "ties", "lost", "chance")
    return {(row["subset"], row["method"]): {name: row[name] for name in names} for row in rows}


def right_by_hand(run: Path) -> float:
    """In how many items of a store the right answer has the best mean, counted from its lines."""
    right = []
    for line in (run / "eval/votes.jsonl").read_text().splitlines()[1:]:
        row = json.loads(line)
        totals = [sum(column) for column in zip(*(vote["scores"] for vote in row["votes"]), strict=True)]
        right.append(totals.index(max(totals)) == row["item"]["best"])
    return fmean(right)


def test_a_vote_store_goes_on_and_gives_the_same_figures(folder: Path) -> None:
    said = run(*["eval", "-c", "config.yaml", "--suite", "jsonl", "--data", "items.jsonl", "-o", "eval", "--k", "4"])
    assert "2 of 2 items with votes (2 from before)" in said
    assert figures(folder / "eval/report.json") == figures(folder / "report.json")


def test_trajectories_go_on(folder: Path) -> None:
    said = run(*["spct", "rft-data", "items.jsonl", "-c", "config.yaml", "-o", "rft", "--no-rejection"])
    assert "2 of 2 items (2 from before)" in said
    assert len((folder / "rft/sft.jsonl").read_text().splitlines()) == 8


def test_rewards_go_on(folder: Path) -> None:
    said = run(*["score", "groups.jsonl", "-c", "config.yaml", "-o", "rewards.jsonl"])
    assert "2 of 2 groups (2 from before)" in said


def test_traces_are_shown(folder: Path) -> None:
    assert "Name three fruits." in run("traces", "traces.db")


def test_votes_are_replayed(folder: Path) -> None:
    found = json.loads(run("votes", "sixteen_votes/eval", "--json"))
    assert (found["lists"], found["k"], found["left_out"]) == (6, 16, 0)
    assert found["fixed"]["16"]["right"] == right_by_hand(folder / "sixteen_votes")


def test_votes_in_traces_are_replayed_without_lists_that_were_stopped_early(folder: Path) -> None:
    """Nothing marks those, and they are more: their nine votes are on lists that any GRM could tell apart."""
    found = json.loads(run("votes", "sixteen_votes/traces.db", "--json"))
    assert (found["lists"], found["k"], found["left_out"]) == (6, 16, 9)
    assert found["reliability"]["one_vote"] < 0.5


def test_too_few_votes_are_refused(folder: Path) -> None:
    for store, votes in (("eval", 4), ("traces.db", 2)):
        with pytest.raises(ConfigError, match=f"most lists in {store} have {votes} votes, and 8 are needed: sample"):
            CliRunner().invoke(app, ["votes", store], catch_exceptions=False)


def test_the_running_statistics_are_read(folder: Path) -> None:
    assert RunningStats.load(folder / "state.json").count == 4


@pytest.mark.parametrize(
    ("file", "command", "message"),
    [
        (
            "eval/votes.jsonl",
            "eval --from eval",
            r"votes\.jsonl was written by another version of grm_plugin: sample the votes again, into another folder",
        ),
        (
            "rft/trajectories.jsonl",
            "spct rft-data items.jsonl -c config.yaml -o rft",
            r"trajectories\.jsonl line 1 is no row of `grm-plugin spct rft-data` \(spct: .*give another folder",
        ),
    ],
)
def test_files_of_a_version_to_come_are_refused_by_name(folder: Path, file: str, command: str, message: str) -> None:
    written = (folder / file).read_text()
    (folder / file).write_text(written.replace('{"evals": 1', '{"evals": 2').replace('{"spct": 1', '{"spct": 2'))
    with pytest.raises(ConfigError, match=message):
        CliRunner().invoke(app, command.split(), catch_exceptions=False)
