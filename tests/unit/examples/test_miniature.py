"""The miniature of SPCT: its runner, its items, its plan and its results; not what the stages do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from examples.nano.domain import is_held_out
from examples.nano.spct import items, results
from examples.nano.spct.stage_runner import Stage, run_stages
from examples.nano.spct.stages import ABLATIONS, GRMS, Plan, stages
from grm_plugin.batch.items import Item, read_items
from grm_plugin.batch.vote_store import ItemVotes, Manifest, StoredVote, VoteStore
from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError
from grm_plugin.types import Message


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_stages_wait_for_those_they_need(tmp_path: Path) -> None:
    wanted = [
        Stage("last", python(f"open({str(tmp_path / 'x')!r}).read()"), after=("first",)),
        Stage("first", python(f"open({str(tmp_path / 'x')!r}, 'w').write('y')")),
    ]
    assert list(run_stages(wanted, tmp_path / "logs", 2, 60, lambda _: None)) == ["first", "last"]
    (tmp_path / "logs/last.done").unlink()
    assert list(run_stages(wanted, tmp_path / "logs", 2, 60, lambda _: None)) == ["last"]


def test_a_failed_stage_stops_the_others_and_shows_its_log(tmp_path: Path) -> None:
    wanted = [
        Stage("slow", python("import time; time.sleep(60)")),
        Stage("broken", python("print('what went wrong'); raise SystemExit(3)")),
        Stage("never", python(f"open({str(tmp_path / 'never')!r}, 'w')"), after=("broken",)),
    ]
    with pytest.raises(RuntimeError, match=r"broken ended with status 3(?s:.*)what went wrong"):
        run_stages(wanted, tmp_path / "logs", 2, 60, lambda _: None)
    assert not (tmp_path / "never").exists()


def test_a_deadline_and_a_missing_stage_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"not done after 0 s: \['slow'\]"):
        run_stages([Stage("slow", python("import time; time.sleep(60)"))], tmp_path, 1, 0, lambda _: None)
    with pytest.raises(RuntimeError, match="stages that do not exist"):
        run_stages([Stage("lost", python("pass"), after=("nowhere",))], tmp_path, 1, 60, lambda _: None)


def test_items_keep_to_their_side_and_the_held_out_ones_never_change(tmp_path: Path) -> None:
    sizes = ("--rft", "9", "--rl", "5", "--meta", "5", "--pairs", "4", "--fours", "3")
    for seed in ("1", "2"):
        items.main(["--output", str(tmp_path / seed), "--seed", seed, *sizes])
    found = {name: read_items(tmp_path / "1" / f"{name}.jsonl") for name in ("rft", "rl", "meta", "held_out")}
    assert {name: len(some) for name, some in found.items()} == {"rft": 9, "rl": 5, "meta": 5, "held_out": 7}
    for name, some in found.items():
        assert all(is_held_out(item.conversation[0].content) == (name == "held_out") for item in some)
    assert [(item.subset, len(item.responses)) for item in found["held_out"]] == [("pairs", 2)] * 4 + [("fours", 4)] * 3
    other = {name: (tmp_path / "2" / f"{name}.jsonl").read_text() for name in found}
    assert other["held_out"] == (tmp_path / "1/held_out.jsonl").read_text()
    assert other["rft"] != (tmp_path / "1/rft.jsonl").read_text()


def test_every_stage_needs_only_earlier_ones_and_the_commands_exist(tmp_path: Path) -> None:
    plan = stages(Plan(tmp_path, 1))
    names = [stage.name for stage in plan]
    assert len(set(names)) == len(names)
    assert all(set(stage.after) <= set(names) for stage in plan)
    assert {f"eval_{name}" for name in (*GRMS, *ABLATIONS)} <= set(names)
    for stage in plan:
        if "grm_plugin.cli" in stage.command:
            arguments = list(stage.command[stage.command.index("grm_plugin.cli") + 1 :])
            command = arguments[: 2 if arguments[0] == "spct" else 1]
            known = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
            flags = [text for text in arguments if text.startswith("--") and not text.startswith("--grm.")]
            assert [flag for flag in flags if flag not in known] == []


def test_a_run_goes_on_with_its_own_plan_only(tmp_path: Path) -> None:
    Plan(tmp_path, 1).save_or_compare()
    Plan(tmp_path, 1).save_or_compare()
    replace(Plan(tmp_path, 1), ablations=False).save_or_compare()
    with pytest.raises(ConfigError, match=r"another plan \(seed 1, now 2\)"):
        Plan(tmp_path, 2).save_or_compare()
    with pytest.raises(ConfigError, match=r"rft_items 800, now 12.*start None, now .*models/grm"):
        Plan.fast(tmp_path, 1).save_or_compare()


def test_a_copy_that_was_cut_short_is_made_whole(tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    (start / "config.json").write_text("{}")
    (start / "weights").write_text("whole")
    plan = replace(Plan(tmp_path / "run", 1), start=start)
    copy = Path(plan.model("sft"))
    copy.mkdir(parents=True)
    (copy / "weights").write_text("wh")
    subprocess.run(stages(plan)[0].command, check=True)
    assert {path.name: path.read_text() for path in copy.iterdir()} == {"config.json": "{}", "weights": "whole"}


def store(folder: Path, right: dict[str, list[bool]]) -> None:
    """Votes for pairs, the first response being best: right, or tied."""
    with VoteStore(folder, Manifest("jsonl", folder.name, 2, None, {"model": folder.name})) as votes:
        for name, some in right.items():
            item = Item(name, (Message("user", "?"),), ("a", "b"), (0,), subset="pairs")
            drawn = [StoredVote((9.0, 1.0 if hit else 9.0), (0, 1), tokens=5) for hit in [some[0], *some]]
            votes.add(ItemVotes(item, tuple(drawn[:1]), tuple(drawn[1:])))


def test_results_are_those_of_the_stores_and_differences_are_paired(tmp_path: Path) -> None:
    for name in results.TITLES:
        good = name in ("rl", "no_principles")
        folder = "rl_meta_rm_outcome" if name == results.OUTCOME else name
        store(tmp_path / "eval" / folder, {f"i{index}": [good or index < 2] * 2 for index in range(4)})
    rows = results.collect(tmp_path / "eval")
    found = {(row.model, row.method): row for row in rows if row.subset == "pairs"}
    assert (found["sft", "@1"].mean, found["rl", "@1"].mean) == (0.5, 1.0)
    assert found["rl - sft", "@2"].mean == 0.5
    assert found["rl - sft", "@2"].n == 4
    low, high = found["rft - sft", "@1"].ci95
    assert low < found["rft - sft", "@1"].mean == 0 < high  # equal on four items, which says little
    results.write(rows, tmp_path / "summary.json")
    written = json.loads((tmp_path / "summary.json").read_text())
    assert {"model", "method", "subset", "mean", "ci95", "n"} == set(written[0])
    results.draw(rows, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 10_000
    assert results.table(rows, "pairs").row_count == len(results.TITLES) - 1  # nothing is rated, so none "on outcomes"
    assert results.comparisons(rows, "pairs").row_count > 0
