"""`grm-plugin score`: what it writes, what it refuses, and what is left of it after kill -9."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from grm_plugin.cli.app import app
from grm_plugin.config.loading import load_config
from grm_plugin.errors import ConfigError, GRMError, WireError
from grm_plugin.serving.http.without_ray import app_and_service
from support.factories import live
from support.score_files import GOOD, numbered, read_rows, write_lines


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text("engine: {type: fake}\nsampling: {k: 2}\n")
    return path


def score(file: Path, output: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["score", str(file), "--output", str(output), *map(str, arguments)])


def test_every_group_gets_what_the_service_says(tmp_path: Path, config: Path) -> None:
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    chat = {
        "messages": messages,
        "responses": ["Light scatters in the air above us all.", " "],
        "reference": "scattering",
    }
    file = write_lines(tmp_path / "in.jsonl", GOOD | {"id": "fruit"}, "", chat, GOOD | {"id": 7})
    done = score(file, tmp_path / "out.jsonl", "--config", str(config))
    assert done.exit_code == 0, done.stderr
    rows = {row["line"]: row for row in read_rows(tmp_path / "out.jsonl")}
    assert sorted(rows) == [1, 3, 4]
    assert (rows[1]["id"], rows[4]["id"]) == ("fruit", 7)
    assert rows[1]["rewards"][0]["settled"] > rows[1]["rewards"][1]["settled"]
    assert rows[3]["rewards"][1]["status"] == "blank"
    assert [critique["kept"] for critique in rows[1]["critiques"]] == [True, True]
    assert "3 of 3 groups; 6 rewards now" in done.stderr
    with live(app_and_service(load_config(config))[0]) as url:
        assert score(file, tmp_path / "over_http.jsonl", "--url", url).exit_code == 0
    settled = [[reward["settled"] for reward in row["rewards"]] for _, row in sorted(rows.items())]
    served = {row["line"]: row for row in read_rows(tmp_path / "over_http.jsonl")}
    assert [[reward["settled"] for reward in row["rewards"]] for _, row in sorted(served.items())] == settled
    assert [critique["scores"] for critique in served[1]["critiques"]] == [
        critique["scores"] for critique in rows[1]["critiques"]
    ]


def test_a_second_run_scores_only_what_is_new(tmp_path: Path, config: Path) -> None:
    file, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_lines(file, *numbered(3), GOOD, GOOD)
    assert score(file, output, "--config", str(config)).exit_code == 0
    first = output.read_bytes()
    write_lines(file, {"id": "new", **GOOD}, GOOD, GOOD, *numbered(3))  # moved lines keep their names
    again = score(file, output, "--config", str(config))
    assert again.exit_code == 0
    assert "6 of 6 groups (5 from before); 2 rewards now" in again.stderr
    assert output.read_bytes().startswith(first)
    assert [row["id"] for row in read_rows(output)[5:]] == ["new"]


def test_kill_9_loses_only_what_was_in_flight(tmp_path: Path, config: Path) -> None:
    file, output = write_lines(tmp_path / "in.jsonl", *numbered(40)), tmp_path / "out.jsonl"
    with slow_run(file, output, config) as run:
        wait_for_results(run, output, 5)
        run.send_signal(signal.SIGKILL)
    kept = read_rows(output)  # every line is whole
    assert 5 <= len(kept) < 40
    torn = output.read_bytes()
    output.write_bytes(torn + torn[: torn.index(b"\n") // 2])  # as a crash of the machine leaves it
    again = score(file, output, "--config", str(config))
    assert again.exit_code == 0
    rows = read_rows(output)
    assert rows[: len(kept)] == kept
    assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in numbered(40))


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_says_what_is_left(tmp_path: Path, config: Path) -> None:
    file, output = write_lines(tmp_path / "in.jsonl", *numbered(40)), tmp_path / "out.jsonl"
    with slow_run(file, output, config) as run:
        wait_for_results(run, output, 1)
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    assert "groups have no result: interrupted. The same command tries them again" in said
    assert "Traceback" not in said


def slow_run(file: Path, output: Path, config: Path) -> subprocess.Popen[str]:
    """A run in a process of its own that takes 4 seconds for 40 groups."""
    command = [sys.executable, "-m", "grm_plugin.cli", "score", file, "-o", output, "-c", config, "--concurrency", "2"]
    return subprocess.Popen(
        [*command, "--grm.engine.delay_s", "0.2"],
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_results(run: subprocess.Popen[str], output: Path, count: int) -> None:
    give_up = time.monotonic() + 60
    while not output.exists() or output.read_bytes().count(b"\n") < count:
        assert time.monotonic() < give_up, "no results"
        assert run.poll() is None, "the run ended"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: Invalid JSON: EOF"),
        ('["a"]', "line 2: Input should be an object"),
        ({"prompt": "a"}, "line 2: responses: Field required"),
        ({"prompt": "a", "responses": []}, "line 2: responses: List should have at least 1 item"),
        ({"prompt": "a", "responses": ["b", 3]}, "line 2: responses.1: a response must be a text, a message or a list"),
        ({"prompt": [], "responses": ["b"]}, "line 2: prompt: it must be a text: give messages in the field messages"),
        ({"responses": ["b"]}, "line 2: give exactly one of messages and prompt"),
        ({"prompt": "a", "responses": ["b"], "refrence": "c"}, "line 2: refrence: Extra inputs are not permitted"),
        (
            {"messages": [{"role": "me", "content": "a"}], "responses": ["b"]},
            "line 2: messages.0: a message has the role 'me'; use one of",
        ),
        ({"id": "first", "prompt": "a", "responses": ["b"]}, "line 2: id: 'first' stands on line 1 already"),
        (
            '{"prompt": "\\ud800", "responses": ["b"]}',
            "line 2: Invalid JSON: unexpected end of hex escape at column 19",
        ),
    ],
)
def test_a_bad_line_is_named_before_anything_is_scored(tmp_path: Path, config: Path, line: Any, message: str) -> None:
    file, output = write_lines(tmp_path / "in.jsonl", {"id": "first", **GOOD}, line), tmp_path / "out.jsonl"
    refused = score(file, output, "--config", str(config))
    assert isinstance(refused.exception, WireError)
    assert f"in.jsonl {message}" in str(refused.exception)
    assert "--skip-bad" in str(refused.exception)
    assert not output.exists()
    skipped = score(file, output, "--config", str(config), "--skip-bad")
    assert skipped.exit_code == 0
    assert "1 of 1 groups" in skipped.stderr
    assert "1 bad lines left out" in skipped.stderr


@pytest.mark.parametrize("whole", ["sampling: {k: 8}", "sampling: {k: 8}\n", '{"id": 1}\n[]\n', '{"rewards": []}\n'])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, config: Path, whole: str) -> None:
    file, output = write_lines(tmp_path / "in.jsonl", GOOD), tmp_path / "notes"
    output.write_text(whole)
    refused = score(file, output, "--config", str(config))
    assert isinstance(refused.exception, ConfigError)
    assert "is no result of" in str(refused.exception)
    assert output.read_text() == whole


def test_the_input_is_never_the_output(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps({"id": 1, **GOOD}))
    (tmp_path / "link").symlink_to(file)
    refused = score(file, tmp_path / "link", "--config", str(config))
    assert "is the input" in str(refused.exception)
    assert json.loads(file.read_text()) == {"id": 1, **GOOD}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --config"),
        (["--config", "CONFIG", "--url", "http://127.0.0.1:1"], "give either --config"),
        (["--config", "CONFIG", "--nonsense"], "unknown argument --nonsense"),
        (["--url", "http://127.0.0.1:1", "--grm.sampling.k", "2"], "has no effect on a running service"),
        (["--url", "http://127.0.0.1:1"], "no GRM service answers at"),
    ],
)
def test_a_wrong_command_says_what_to_give(tmp_path: Path, config: Path, arguments: list[str], message: str) -> None:
    file = write_lines(tmp_path / "in.jsonl", GOOD)
    refused = score(file, tmp_path / "out", *(str(config) if item == "CONFIG" else item for item in arguments))
    assert isinstance(refused.exception, GRMError)
    assert message in str(refused.exception)


def test_an_engine_that_is_gone_leaves_no_results(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grm_plugin.engines.openai.MAX_RETRIES", 0)
    file, output = write_lines(tmp_path / "in.jsonl", *numbered(3)), tmp_path / "out.jsonl"
    away = tmp_path / "away.yaml"
    away.write_text("engine: {type: openai, model: m, base_url: 'http://127.0.0.1:1/v1'}\nsampling: {k: 1}\n")
    failed = score(file, output, "--config", str(away))
    assert failed.exit_code == 1, failed.stderr
    assert "3 groups have no result: engine: EngineError: http://127.0.0.1:1/v1 cannot be reached" in failed.stderr
    assert output.read_bytes() == b""
    assert score(file, output, "--config", str(config)).exit_code == 0
    assert len(read_rows(output)) == 3
