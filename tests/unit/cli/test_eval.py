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
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in ("curve.png", "bias.png"))
    assert report["bias"]["items"] == 8
    assert [row["method"] for row in json.loads((out / "leaderboard.json").read_text())] == list(overall)
    assert all((out / name).read_text().count("meta@4") == 1 for name in ("table.md", "table.tex"))
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


def test_k_grows_and_is_cut(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    out = tmp_path / "out"
    command = on_items(config_file, items_file, out)

    def methods(*words: object) -> tuple[list[str], str]:
        done = run(*words)
        assert done.exit_code == 0, done.output
        report = json.loads((out / "report.json").read_text())
        return [row["method"] for row in report["rows"] if "meta" not in row["method"]], done.output

    assert methods(*command, "--k", 2, "--limit", 5)[0] == ["greedy", "@1", "@2"]
    found, said = methods(*command, "--k", 4)
    assert found == ["greedy", "@1", "@2", "@4"]
    assert "5 items have fewer than 4 votes from before: they get the others" in said
    stored = (out / "votes.jsonl").read_bytes()
    found, said = methods(*command, "--k", 3)
    assert found == ["greedy", "@1", "@2", "@3"]
    assert "reported up to @3; the items have 4 votes each" in said
    assert methods("--from", out)[0] == ["greedy", "@1", "@2", "@4"]
    assert methods("--from", out, "--k", 2)[0] == ["greedy", "@1", "@2"]
    assert (out / "votes.jsonl").read_bytes() == stored
    done = run("--from", out, "--k", 8)
    assert "--k 8 is more than the 4 votes that an item of" in str(done.exception)
    methods(*command, "--k", 6, "--limit", 3)
    found, said = methods("--from", out)
    assert found[-1] == "@4"
    assert "reported up to @4; the items have 4 to 6 votes each" in said


def test_a_store_that_has_grown_is_rated_where_it_grew(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    out, rated = tmp_path / "out", tmp_path / "rated"
    for k in (2, 4):
        assert run(*on_items(config_file, items_file, out, "--no-meta", "--k", k)).exit_code == 0
        done = run("--from", out, "-c", config_file, "-o", rated)
        assert done.exit_code == 0, done.output
        assert f"meta@{k}" in done.stdout
    rows = read_rows(rated / "votes.jsonl")[1:]
    assert [len(row["votes"]) for row in rows] == [2] * 16
    assert all(vote["meta"] is not None for row in rows for vote in row["votes"])


def test_a_scalar_reward_model_has_one_logit_per_response(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    """Type fake rates the longer response higher."""
    out = tmp_path / "out"
    command = on_items(config_file, items_file, out, "--scalar")
    done = run(*command, "--limit", 3)
    assert done.exit_code == 0, done.output
    done = run(*command)
    assert "8 of 8 items with votes (3 from before)" in done.stderr
    first, *rows = read_rows(out / "votes.jsonl")
    assert (first["judge"], first["k"], first["meta_rm"]) == ("scalar", 1, None)
    for row in rows:
        (given,) = row["votes"]
        lengths = [len(text) for text in row["item"]["responses"]]
        assert (row["greedy"], given["order"]) == ([], [0, 1])
        assert (given["scores"][0] > given["scores"][1]) == (lengths[0] > lengths[1])
    report = json.loads((out / "report.json").read_text())
    assert report["conduct"]["items"] == 8
    done = run(*on_items(config_file, items_file, out, "--k", 1))
    assert "differs in judge (scalar, now generative)" in str(done.exception)


def test_a_scalar_reward_model_behind_a_server_is_refused(tmp_path: Path, items_file: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("engine: {type: openai, model: m, base_url: 'http://127.0.0.1:9/v1'}\n")
    done = run(*on_items(file, items_file, tmp_path / "out", "--scalar"))
    assert "--scalar reads logits, which a server behind engine.type openai does not give" in str(done.exception)


def test_recorded_votes_are_reported_like_sampled_ones(tmp_path: Path, config_file: Path, items_file: Path) -> None:
    sampled, imported = tmp_path / "sampled", tmp_path / "imported"
    assert run(*on_items(config_file, items_file, sampled, "--k", 4, "--no-meta", "--name", "it")).exit_code == 0
    lines = [
        {"id": row["item"]["id"], "votes": row["votes"], "greedy": row["greedy"][0], "model": "it"}
        for row in read_rows(sampled / "votes.jsonl")[1:]
    ]
    file = write_lines(tmp_path / "recorded.jsonl", *lines)
    command = ("--import", file, "--suite", "jsonl", "--data", items_file, "-o", imported)
    done = run(*command, "--limit", 2)
    assert done.exit_code == 0, done.output
    done = run(*command)
    assert done.exit_code == 0, done.output
    assert "32 votes of a generative judge, it, on 8 items; 0 of them lost" in done.stderr
    one, other = (json.loads((folder / "report.json").read_text()) for folder in (sampled, imported))
    assert one == other
    done = run(*command, "--k", 2)
    assert "reported up to @2" in done.stdout


def test_a_name_counts_in_the_report_also_where_the_votes_have_another(
    tmp_path: Path, config_file: Path, items_file: Path
) -> None:
    command = on_items(config_file, items_file, tmp_path / "out", "--k", 2)
    for name, shown in (("first", "first"), ("a\n\x1b[31mb", "a [31mb")):
        done = run(*command, "--name", name)
        assert done.exit_code == 0, done.output
        assert f"items  {shown}  8 items" in done.stdout
        assert json.loads((tmp_path / "out" / "report.json").read_text())["model"] == shown


@pytest.mark.parametrize(("kind", "why"), [("scalar", "logits of a scalar"), ("generative", "recorded elsewhere")])
def test_a_meta_rm_rates_no_logits_and_no_recorded_judgements(
    tmp_path: Path, config_file: Path, items_file: Path, kind: str, why: str
) -> None:
    lines = [{"id": str(n), "votes": [{"scores": [2, 1], "text": "t"}], "judge": kind} for n in range(1, 9)]
    file = write_lines(tmp_path / "recorded.jsonl", *lines)
    stored = tmp_path / "stored"
    assert run("--import", file, "--suite", "jsonl", "--data", items_file, "-o", stored).exit_code == 0
    done = run("--config", config_file, "--from", stored, "-o", tmp_path / "rated")
    assert isinstance(done.exception, ConfigError)
    assert why in str(done.exception)


def test_names_that_no_font_and_no_encoding_has_do_not_cost_the_figures(
    tmp_path: Path, config_file: Path, recwarn: pytest.WarningsRecorder
) -> None:
    rows = [
        {"prompt": f"q{n}", "responses": ["a", "b c"], "best": 1, "subset": ["\u6a21\ud800", "b"][n]} for n in (0, 1)
    ]
    out = tmp_path / "out"
    done = run(*on_items(config_file, write_lines(tmp_path / "in.jsonl", *rows), out, "--k", 2, "--name", "\u578b$_{"))
    assert done.exit_code == 0, done.output
    assert "\u6a21\ud800" in json.loads((out / "leaderboard.json").read_text())[0]
    assert not [str(found.message) for found in recwarn if "Glyph" in str(found.message)]


@pytest.mark.parametrize("wide", [40, 300])
def test_a_narrow_terminal_and_long_names_cut_no_figure(
    tmp_path: Path, config_file: Path, items_file: Path, monkeypatch: pytest.MonkeyPatch, wide: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(wide))
    monkeypatch.setenv("FORCE_COLOR", "1")
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        name = folder.name * 100
        done = run(*on_items(config_file, items_file, folder, "--k", 2, "--no-meta", "--name", name))
        assert name in done.stdout
    done = run("--from", folders[0], "--from", folders[1])
    assert f"@2: {'b' * 100} - {'a' * 100}" in done.stdout
    assert "\u2026" not in done.stdout


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
    assert "+0.0 [" in done.stdout
    assert "too few items" in done.stdout  # eight of them
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
        for number in range(30)
    ]
    file = write_lines(tmp_path / "in.jsonl", *rows)
    done = run(*on_items(config_file, file, tmp_path / "out", "--k", 2))
    assert "Near chance: by its interval no figure is above guessing (50.0%)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --config or --model .*--from .*or --import"),
        (["--grm.sampling.k", "3"], "has no effect without --config"),
        (["--from", "x", "--suite", "rmb", "--data", "y"], "stored votes as they are: leave --suite, --data out"),
        (["--from", "x", "--limit", "1"], "leave --limit out"),
        (["--from", "x", "--scalar"], "leave --scalar out"),
        (["--from", "x", "--name", "m", "--keep-going"], "leave --name, --keep-going out"),
        (
            ["--from", "x", "--concurrency", "32", "--no-meta"],
            "without --config .*: leave --concurrency, --no-meta out",
        ),
        (["--config", "CONFIG", "--from", "x", "--output", "y", "--suite", "rmb"], "leave --suite out"),
        (["--config", "CONFIG", "--model", "m", "--suite", "rmb"], "give --config or --model, not both"),
        (["--model", "./nowhere", "--suite", "rmb"], "--model ./nowhere: engine.model: .* does not exist"),
        (["--config", "CONFIG", "--scalar", "--k", "2"], "--scalar rates each response once: leave --k out"),
        (
            ["--config", "CONFIG", "--scalar", "--grm.sampling.k=2", "--suite", "rmb"],
            "--scalar takes engine only: leave --grm.sampling.k out",
        ),
        (
            ["--config", "CONFIG", "--grm.sampling.k", "2", "--suite", "rmb"],
            "eval samples --k votes of every item: leave --grm.sampling.k out",
        ),
        (
            ["--config", "CONFIG", "--suite", "jsonl"],
            "--data is missing: give the file, the folder or the Hugging Face",
        ),
        (
            ["--config", "CONFIG", "--suite", "jsonl", "--data", "ITEMS", "--k", "2", "--k-meta", "2"],
            "--k-meta 2 leaves none of the 2 votes per item out",
        ),
        (["--config", "CONFIG", "--import", "x"], "--import takes stored votes as they are: leave --config out"),
        (["--import", "x", "--from", "y", "--no-meta"], "leave --from, --no-meta out"),
        (["--import", "x", "--grm.sampling.k", "3"], "has no effect without --config"),
        (["--import", "x"], "--suite is missing"),
        (["--import", "x", "--suite", "judgebench"], "--import x does not exist"),
        (["--import", "x", "--suite", "judgebnch"], "judgebnch is unknown"),
        (["--config", "CONFIG"], "--suite is missing"),
        (["--config", "CONFIG", "--from", "x"], "give one --from, and another folder"),
        (["--config", "CONFIG", "--from", "x", "--no-meta", "--output", "y"], "rating needs a meta RM"),
        (["--from", "x"], "cannot be read"),
        (["--from", "x", "--from", "y", "--output", "z"], "takes the report of one --from"),
    ],
)
def test_a_wrong_command_says_what_to_do(
    config_file: Path, items_file: Path, arguments: list[str], message: str
) -> None:
    files = {"CONFIG": str(config_file), "ITEMS": str(items_file)}
    done = run(*[files.get(word, word) for word in arguments])
    assert isinstance(done.exception, ConfigError)
    with pytest.raises(ConfigError, match=message):
        raise done.exception


def test_a_seed_below_zero_is_refused_before_anything_is_sampled(
    tmp_path: Path, config_file: Path, items_file: Path
) -> None:
    done = run(*on_items(config_file, items_file, tmp_path / "out", "--seed", -1))
    assert done.exit_code == 2
    assert "--seed" in done.stderr
    assert not (tmp_path / "out").exists()


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
