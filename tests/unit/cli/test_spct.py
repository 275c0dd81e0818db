"""`grm-plugin spct ...` as a user types it, with the dry run's rule for a GRM."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from grm_plugin.batch.items import Item, write_items
from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError, GroupError, WireError
from grm_plugin.spct.training_files import read_rows
from grm_plugin.types import Message

LONG, SHORT = "a b c d e f g h i j k", "a"  # the dry run's rule prefers many different words
RIGHT = Item("right", (Message("user", "?"),), (SHORT, LONG), (1,))
WRONG = Item("wrong", (Message("user", "Which?"),), (SHORT, LONG), (0,))
TIE = Item("tie", (Message("user", "?"),), (SHORT, "b"), (0,))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("engine: {type: fake}\n")
    write_items(tmp_path / "items.jsonl", [RIGHT, WRONG, TIE])
    return tmp_path


def run(*words: str, fails: bool = False) -> Result:
    result = CliRunner().invoke(app, ["spct", *words, "--config", "config.yaml"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert (result.exit_code != 0) == fails, result.output
    return result


def rft_data(*flags: str, fails: bool = False, output: str = "rft") -> Result:
    return run("rft-data", "items.jsonl", "--output", output, *flags, fails=fails)


def test_trajectories_rows_and_report(folder: Path) -> None:
    result = rft_data("--no-rejection")
    assert "3 of 3 items" in result.output
    rows = list(read_rows(folder / "rft/sft.jsonl"))
    assert {(row["id"], row["kind"]) for row in rows} == {
        (name, kind) for name in ("right", "wrong", "tie") for kind in ("plain", "hinted")
    }
    report = json.loads((folder / "rft/report.json").read_text())
    assert report["plain_right"] == {"0 of 3": 2, "3 of 3": 1}
    again = rft_data("--no-rejection")  # nothing is sampled twice
    assert "3 of 3 items (3 from before)" in again.output
    assert list(read_rows(folder / "rft/sft.jsonl")) == rows


def test_with_rejection_only_the_hinted_one_of_an_easy_item_is_left(folder: Path) -> None:
    rft_data("--format", "parquet")
    rows = list(read_rows(folder / "rft/sft.parquet"))
    assert [(row["id"], row["kind"]) for row in rows] == [("right", "hinted")]


def test_a_limit_can_be_raised_later(folder: Path) -> None:
    rft_data("--first", "1")
    assert "3 of 3 items (1 from before)" in rft_data().output


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--samples", "2"], "samples"),
        (["--no-hint"], "hinted"),
        (["--seed", "1"], "seed"),
        (["--grm.sampling.temperature", "1"], "sampling"),
        (["--grm.judge.max_response_chars", "200"], "judge"),
    ],
)
def test_a_store_of_something_else_is_refused(folder: Path, flags: list[str], words: str) -> None:
    rft_data()
    with pytest.raises(ConfigError, match=f"another run, which differs in {words}:"):
        rft_data(*flags)


def test_changed_items_are_refused(folder: Path) -> None:
    rft_data()
    write_items(folder / "items.jsonl", [RIGHT, TIE])
    with pytest.raises(ConfigError, match="differs in items"):
        rft_data()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "a", "prompt": "?", "responses": ["x", "y"]}', "line 1: best is missing"),
        ('{"id": "a", "prompt": "?", "responses": ["x", "y"], "best": 2}', r"line 1: best must be an index in 0\.\.1"),
        ('{"id": "a", "prompt": "?", "responses": ["x"], "best": 0}', "line 1: best needs at least two responses"),
        ('{"id": "a", "prompt": "?", "responses": ["x"]}', "line 1: label is missing"),
        ('{"id": "a", "prompt": "?", "responses": ["x"], "label": 3}', "line 1: label must be 0 or 1"),
        ('{"id": "a", "prompt": "?", "responses": ["x", "y"], "best": 0}\n' * 2, "an earlier one; ids must be unique"),
    ],
)
def test_bad_items_are_named(folder: Path, line: str, words: str) -> None:
    (folder / "items.jsonl").write_text(line + "\n")
    with pytest.raises(WireError, match=words):
        rft_data()
    assert not (folder / "rft").exists()


def test_more_responses_than_a_list_holds(folder: Path) -> None:
    write_items(folder / "items.jsonl", [Item("many", (Message("user", "?"),), tuple("abcde"), (0,))])
    with pytest.raises(GroupError, match=r"'many' has 5 responses.*--grm\.judge\.list_size"):
        rft_data()
    assert not (folder / "rft").exists()  # it was told before an engine was loaded and anything was sampled
    rft_data("--grm.judge.list_size", "5", "--no-rejection", output="other")


def test_a_grm_that_never_parses_leaves_no_training_file(folder: Path) -> None:
    # The rule gives a 5 to what it does not know, and single responses are scored 0 or 1 in training.
    items = [Item(f"i{number}", (Message("user", "?"),), ("a",), (), 1) for number in range(400)]
    write_items(folder / "items.jsonl", items)
    result = rft_data(fails=True)
    assert result.exit_code == 1
    assert "none of the first" in result.output
    assert "out_of_range" in result.output
    assert "400 items" in result.output
    assert [file.name for file in (folder / "rft").iterdir()] == ["trajectories.jsonl"]


def test_the_last_item_may_be_the_one_too_many_that_cannot_be_read(folder: Path) -> None:
    items = [Item(f"i{number}", (Message("user", "?"),), ("a",), (), 1) for number in range(13)]  # 52 trajectories
    write_items(folder / "items.jsonl", items)
    result = rft_data("--concurrency", "1", fails=True)
    assert result.exit_code == 1
    assert "none of the first 52 critiques could be read" in result.output
    assert [file.name for file in (folder / "rft").iterdir()] == ["trajectories.jsonl"]


def test_flags_that_sample_nothing(folder: Path) -> None:
    with pytest.raises(ConfigError, match="samples nothing"):
        rft_data("--samples", "0", "--no-hint")
    with pytest.raises(ConfigError, match="--format csv is unknown"):
        rft_data("--format", "csv")


def test_rl_data(folder: Path) -> None:
    rft_data("--no-rejection")
    result = run("rl-data", "items.jsonl", "--output", "rl.jsonl", "--drop-easy", "rft")
    assert "rl.jsonl: 2 prompts; 1 easy" in result.output
    assert {row["id"] for row in read_rows(folder / "rl.jsonl")} == {"wrong", "tie"}
    with pytest.raises(ConfigError, match="--max-prompt-tokens needs the GRM's tokenizer"):
        run("rl-data", "items.jsonl", "--output", "rl.jsonl", "--max-prompt-tokens", "9")
    with pytest.raises(ConfigError, match="--max-tokens needs the GRM's tokenizer"):
        rft_data("--no-rejection", "--max-tokens", "9")


def test_easy_items_of_another_file_are_no_match(folder: Path) -> None:
    rft_data("--no-rejection")
    write_items(folder / "others.jsonl", [replace(RIGHT, conversation=(Message("user", "Another?"),))])
    result = run("rl-data", "others.jsonl", "--output", "rl.jsonl", "--drop-easy", "rft")
    assert "rl.jsonl: 1 prompts\n" in result.output
    assert "warning: --drop-easy leaves nothing out: its 1 easy items are not in others.jsonl" in result.output


def test_a_former_file_outlives_a_mistake(folder: Path) -> None:
    rft_data("--no-rejection")
    rft_data("--no-rejection", "--first", "1", output="right")
    run("rl-data", "items.jsonl", "--output", "rl.jsonl")
    run("meta-rm-data", "rft", "--output", "meta.jsonl")
    before = [(folder / name).read_bytes() for name in ("rl.jsonl", "meta.jsonl")]
    write_items(folder / "easy.jsonl", [RIGHT])
    with pytest.raises(ConfigError, match=r"no item is left \({'easy': 1}\)"):
        run("rl-data", "easy.jsonl", "--output", "rl.jsonl", "--drop-easy", "rft")
    with pytest.raises(ConfigError, match="these are 3 and 0"):
        run("meta-rm-data", "right", "--output", "meta.jsonl")
    assert [(folder / name).read_bytes() for name in ("rl.jsonl", "meta.jsonl")] == before


def test_meta_rm_data(folder: Path) -> None:
    rft_data("--no-rejection")
    overrides = ["--grm.engine.type", "fake", "--grm.judge.list_size=3"]
    result = run("meta-rm-data", "rft", *overrides, "--output", "meta.jsonl")
    assert "3 right and 6 wrong critiques" in result.output
    rows = list(read_rows(folder / "meta.jsonl"))
    assert [row["label"] for row in rows if row["id"] == "right"] == [1, 1, 1]
    assert {row["source"] for row in rows} == {"rft"}


def test_a_meta_rm_needs_both_kinds(folder: Path) -> None:
    write_items(folder / "items.jsonl", [WRONG])
    rft_data("--no-rejection")
    with pytest.raises(ConfigError, match="needs right and wrong critiques"):
        run("meta-rm-data", "rft", "--output", "meta.jsonl")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dtype", "int8"], "--dtype int8 is unknown"),
        (["--deepspeed", "nowhere.json"], "no file; .*configs/spct has some"),
        (["--deepspeed", "config.yaml"], "needs a launcher.*torchrun"),
    ],
)
def test_mistakes_in_training_are_told_at_once(folder: Path, flags: list[str], words: str) -> None:
    command = ["spct", "meta-rm", "--model", "m", "--data", "d.jsonl", "--output", "o", *flags]
    with pytest.raises(ConfigError, match=words):
        CliRunner().invoke(app, command, catch_exceptions=False)


def test_general_data_that_is_wrong_is_told_before_anything_is_sampled(folder: Path) -> None:
    (folder / "general.jsonl").write_text("[]\n")
    with pytest.raises(ConfigError, match=r"general\.jsonl line 1 must be a JSON object, not list"):
        rft_data("--general", "general.jsonl")
    assert not (folder / "rft").exists()
