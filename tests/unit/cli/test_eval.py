"""`grm-plugin eval`, with the fake engine of a configuration."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grm_plugin.batch.items import Item, read_items, write_items
from grm_plugin.batch.resumable_run import EngineFailed
from grm_plugin.batch.vote_store import ItemVotes
from grm_plugin.cli.app import app
from grm_plugin.engines import fake
from grm_plugin.errors import ConfigError
from grm_plugin.evals.vote_collector import VoteCollector
from grm_plugin.types import Message
from support.engine_faults import faulty_engine, faulty_meta_rm
from support.score_files import read_rows, write_lines

runner = CliRunner()


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("engine: {type: fake}\nmeta_rm: {type: fake}\n")
    return path


@pytest.fixture
def items_file(tmp_path: Path) -> Path:
    rows = [
        Item(f"{number}", (Message("user", "Name fruits."),), ("plum " * number, "fig pear plum apple kiwi lime"), (1,))
        for number in range(1, 9)
    ]
    write_items(tmp_path / "items.jsonl", rows)
    return tmp_path / "items.jsonl"


def on_items(config: Path, items: Path, output: Path, *more: object) -> tuple[object, ...]:
    """The arguments for a user's own items."""
    return ("--config", config, "--suite", "jsonl", "--data", items, "--output", output, *more)


def run(*arguments: object) -> Any:
    return runner.invoke(app, ["eval", *map(str, arguments)])


def test_the_command_from_items_to_a_report(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    out = tmp_path / "out"
    command = on_items(config_file, items_file, out, "--k", 4, "--name", "it")
    done = run(*command, "--limit", 3)
    assert done.exit_code == 0, done.output
    done = run(*command)
    assert done.exit_code == 0, done.output
    assert "8 of 8 items with votes (3 from before)" in done.stderr
    report = json.loads((out / "report.json").read_text())
    overall = {row["method"]: row["mean"] for row in report["rows"]}
    assert overall == dict.fromkeys(["greedy", "@1", "@2", "@4", "meta@2", "meta@4"], 1.0)
    assert report["model"] == "it"
    assert (out / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert "meta@4 - @4" in done.stdout
    assert len(read_rows(out / "votes.jsonl")) == 9


def test_a_report_is_of_the_items_of_its_command(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    out, more = tmp_path / "out", tmp_path / "more.jsonl"
    write_items(more, [Item("new", (Message("user", "Name one."),), ("fig plum kiwi", "fig"), (0,))])
    command = ("-c", config_file, "--suite", "jsonl", "-o", out, "--k", 2)
    counts = []
    for data in ([items_file], [more], [items_file, "--limit", 3], [items_file]):
        done = run(*command, "--data", *data)
        assert done.exit_code == 0, done.output
        counts.append(json.loads((out / "report.json").read_text())["conduct"]["items"])
    assert counts == [8, 1, 3, 8]
    assert run("--from", out).exit_code == 0
    assert json.loads((out / "report.json").read_text())["conduct"]["items"] == 9


def test_labels_that_have_changed_are_not_reported_by_old_ones(
    tmp_path: Path, config_file: Path, items_file: Path
) -> None:
    command = on_items(config_file, items_file, tmp_path / "out", "--k", 2)
    assert run(*command).exit_code == 0
    write_items(items_file, [replace(item, best=(0,)) for item in read_items(items_file)])
    done = run(*command)
    assert isinstance(done.exception, ConfigError)
    assert "has votes on another item with the id '1': give another --output" in str(done.exception)


@pytest.fixture
def faults(tmp_path: Path) -> Path:
    """A folder for faults of this process's fake engines (`support.engine_faults`), where a test makes them faulty."""
    (tmp_path / "faults").mkdir()
    return tmp_path / "faults"


def test_lost_votes_are_counted_and_not_logged_one_by_one(
    tmp_path: Path,
    config_file: Path,
    items_file: Path,
    faults: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(fake, "FakeEngine", faulty_engine(faults))
    (faults / "all").write_text("raise")
    config_file.write_text("engine: {type: fake}\n")
    out = tmp_path / "out"
    done = run(*on_items(config_file, items_file, out, "--k", 2))
    assert done.exit_code == 1
    assert "8 items have none: engine: EngineError: injected" in done.stderr
    assert [record for record in caplog.records if record.name.startswith("grm_plugin")] == []


def test_the_command_again_from_the_store_alone(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    out = tmp_path / "out"
    assert run(*on_items(config_file, items_file, out, "--k", 4)).exit_code == 0
    first = (out / "report.json").read_text()
    items_file.unlink()
    config_file.unlink()
    done = run("--from", out)
    assert done.exit_code == 0, done.output
    assert (out / "report.json").read_text() == first
    done = run("--from", out, "--k-meta", 1, "--output", tmp_path / "elsewhere")
    assert "meta@4/1" in (tmp_path / "elsewhere" / "report.json").read_text()


def test_the_command_rates_a_store(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    out, rated = tmp_path / "out", tmp_path / "rated"
    done = run(*on_items(config_file, items_file, out, "--k", 4, "--no-meta"))
    assert done.exit_code == 0, done.output
    assert "meta@4" not in done.stdout
    done = run("--from", out, "-c", config_file, "-o", rated, "--concurrency", 2)
    assert done.exit_code == 0, done.output
    assert "meta@4" in done.stdout
    few = ("-c", config_file, "--suite", "jsonl", "--data", items_file, "-o", tmp_path / "few", "--k", 4, "--no-meta")
    write_items(items_file, [replace(item, id=f"other {item.id}") for item in read_items(items_file)])
    assert run(*few).exit_code == 0
    done = run("--from", tmp_path / "few", "-c", config_file, "-o", rated)  # as many items, none of them rated yet
    assert "8 of 8 items with votes;" in done.stderr
    assert json.loads((rated / "report.json").read_text())["conduct"]["items"] == 8
    done = run("--from", out, "-c", config_file, "-o", tmp_path / "x", "--grm.judge.max_response_chars", "100")
    assert "were sampled with another judge than this configuration has" in str(done.exception)


def test_several_stores_give_their_mean(tmp_path: Path, config_file: Path) -> None:
    write_lines(
        tmp_path / "rb.jsonl",
        *[
            {"prompt": "q", "chosen": "a b c d e f", "rejected": "a", "subset": "donotanswer", "id": n}
            for n in range(3)
        ],
    )
    write_lines(
        tmp_path / "p.jsonl",
        {"question_id": "1", "prompt": "q", "response_1": "a b c d e f", "response_2": "b", "winner": "model_b"},
    )
    for suite, file in (("rewardbench", "rb.jsonl"), ("ppe-preference", "p.jsonl")):
        done = run("-c", config_file, "--suite", suite, "--data", tmp_path / file, "-o", tmp_path / suite, "--k", 2)
        assert done.exit_code == 0, done.output
    done = run("--from", tmp_path / "rewardbench", "--from", tmp_path / "ppe-preference")
    _, _, means = done.stdout.partition("mean over the benchmarks")
    assert "ties at random" in means
    assert "50.0" in done.stdout
    assert "69.0" not in done.stdout  # the paper's column belongs to its four benchmarks


def test_two_models_are_compared_on_the_same_items(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    command = ("-c", config_file, "--suite", "jsonl", "--data", items_file, "--k", 2, "--no-meta")
    for name in ("old", "new"):
        assert run(*command, "-o", tmp_path / name, "--name", name).exit_code == 0
    assert run(*command, "-o", tmp_path / "few", "--limit", 3).exit_code == 0
    done = run("--from", tmp_path / "old", "--from", tmp_path / "new")
    assert "@2: new - old" in done.stdout
    assert "+0.0 [+0.0, +0.0]" in done.stdout
    done = run("--from", tmp_path / "old", "--from", tmp_path / "few")
    assert "hold different items" in str(done.exception)


def test_a_run_without_one_readable_vote_has_a_report_and_exit_status_1(
    tmp_path: Path, config_file: Path, items_file: Path, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "FakeEngine", faulty_engine(faults))
    (faults / "all").write_text("unparsable")
    config_file.write_text("engine: {type: fake}\n")
    done = run(*on_items(config_file, items_file, tmp_path / "out", "--k", 2))
    assert done.exit_code == 1
    assert "0 of 16 votes read" in done.stdout
    assert "items without a single vote: they count as wrong" in done.stdout
    assert run("--from", tmp_path / "out").exit_code == 1


def test_a_dead_meta_rm_is_no_clean_evaluation(
    tmp_path: Path, config_file: Path, items_file: Path, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "FakeMetaRM", faulty_meta_rm(faults))
    (faults / "all").write_text("raise")
    command = on_items(config_file, items_file, tmp_path / "out", "--k", 2)
    done = run(*command)
    assert done.exit_code == 1
    assert "8 items have none: the meta RM failed: EngineError: injected. The same command goes on" in done.stderr
    (faults / "all").unlink()
    done = run(*command)
    assert done.exit_code == 0
    assert "meta@2" in done.stdout


def test_keep_going_judges_what_is_never_read(
    tmp_path: Path, config_file: Path, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "FakeEngine", faulty_engine(faults))
    (faults / "all").write_text("unparsable")
    config_file.write_text("engine: {type: fake}\n")
    rows = [{"prompt": "q", "responses": ["a", "b"], "best": 0, "id": number} for number in range(30)]
    file = write_lines(tmp_path / "in.jsonl", *rows)
    command = on_items(config_file, file, tmp_path / "out", "--k", 1, "--concurrency", 1)
    done = run(*command)
    assert done.exit_code == 1
    assert "10 items have none: no vote on 20 items could be read" in done.stderr
    done = run(*command, "--keep-going")
    assert done.exit_code == 1
    assert "0 of 30 votes read" in done.stdout


def test_near_chance_is_said(tmp_path: Path, config_file: Path) -> None:
    rows = [
        {"prompt": f"q{number}", "responses": ["same words here", "same words there"], "best": number % 2, "id": number}
        for number in range(20)
    ]
    file = write_lines(tmp_path / "in.jsonl", *rows)
    done = run(*on_items(config_file, file, tmp_path / "out", "--k", 2))
    assert "Near chance: by its interval no figure is above guessing (50.0%)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --config .* or --from"),
        (["--grm.sampling.k", "3"], "has no effect without --config"),
        (["--from", "x", "--suite", "rmb", "--data", "y"], "stored votes as they are: leave --suite, --data out"),
        (["--from", "x", "--k", "32", "--limit", "1"], "leave --k, --limit out"),
        (["--from", "x", "--name", "m", "--keep-going"], "leave --name, --keep-going out"),
        (
            ["--from", "x", "--concurrency", "32", "--no-meta"],
            "without --config .*: leave --concurrency, --no-meta out",
        ),
        (["--config", "CONFIG", "--from", "x", "--output", "y", "--suite", "rmb"], "leave --suite out"),
        (["--config", "CONFIG", "--from", "x", "--output", "y", "--k", "2"], "leave --k out"),
        (["--config", "CONFIG"], "--suite is missing"),
        (["--config", "CONFIG", "--from", "x"], "give one --from, and another folder"),
        (["--config", "CONFIG", "--from", "x", "--no-meta", "--output", "y"], "rating needs a meta RM"),
        (["--from", "x"], "cannot be read"),
        (["--from", "x", "--from", "y", "--output", "z"], "takes the report of one --from"),
    ],
)
def test_a_wrong_command_says_what_to_do(config_file: Path, arguments: list[str], message: str) -> None:
    done = run(*[str(config_file) if word == "CONFIG" else word for word in arguments])
    assert isinstance(done.exception, ConfigError)
    with pytest.raises(ConfigError, match=message):
        raise done.exception


def test_an_interrupt_keeps_what_is_there(
    tmp_path: Path, config_file: Path, items_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    votes_on = VoteCollector.votes_on

    async def interrupted(self: VoteCollector, item: Item) -> ItemVotes | EngineFailed:
        nonlocal asked
        asked += 1
        if asked > 4:
            await asyncio.sleep(0)
            raise KeyboardInterrupt
        return await votes_on(self, item)

    monkeypatch.setattr(VoteCollector, "votes_on", interrupted)
    command = on_items(config_file, items_file, tmp_path / "out", "--k", 2, "--concurrency", 1)
    done = run(*command)
    assert done.exit_code == 130
    assert "4 of 8 items with votes" in done.stderr
    assert "4 items have none: interrupted. The same command goes on from here" in done.stderr
    monkeypatch.undo()
    assert run(*command).exit_code == 0


def test_the_stored_items_are_all_that_is_needed(tmp_path: Path) -> None:
    """A store of an older run: figures come without the data, the configuration or a model."""
    rows: list[dict[str, Any]] = [
        {"evals": 1, "suite": "jsonl", "model": "m", "k": 1, "meta_rm": None, "fingerprint": {}},
        {
            "evals": 1,
            "item": {"id": "1", "messages": [{"role": "user", "content": "q"}], "responses": ["a", "b"], "best": 1},
            "greedy": [],
            "votes": [{"scores": [2, 9], "order": [0, 1], "tokens": 5}],
            "cut": [0, 0],
        },
    ]
    (tmp_path / "votes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("--from", tmp_path)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "report.json").read_text())["rows"][0]["mean"] == 1.0
