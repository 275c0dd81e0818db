"""`grm-plugin plan`: what it prints from each source, and what it refuses."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from grm_plugin.cli.app import app
from grm_plugin.config import FailureConfig, TraceConfig
from grm_plugin.errors import ConfigError, StoreError
from grm_plugin.plan.published import PUBLISHED
from grm_plugin.trace.recorder import Recorder
from support.factories import make_config
from support.paths import ROOT
from support.trace_factories import fill, judged, writing

LARGE = ROOT / "configs" / "deepseek_grm_16b.yaml"
DRY_RUN = ROOT / "configs" / "dry_run.yaml"
RATE = ("--tokens-per-s", "4000", "--critique-tokens", "450")


def plan(*arguments: str, config: Path = LARGE) -> Result:
    return CliRunner().invoke(app, ["plan", "--config", str(config), *arguments])


def numbers(*arguments: str, config: Path = LARGE) -> dict[str, object]:
    result = plan("--json", *arguments, config=config)
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.output)
    return found


def test_without_a_speed_it_counts_and_says_what_the_deadline_asks() -> None:
    said = plan("--prompts", "128", "--n", "8").output
    assert "critiques               2,048  k = 8 per list" in said
    assert "4,194,304  2,048 per critique (the longest that the configuration allows)" in said
    assert "holds for a step that comes all at once if each of 1 replica(s) writes 3,495 tokens/s" in said


def test_the_critiques_of_the_modes_are_counted() -> None:
    shape = ("--prompts", "128", "--n", "8", "--grm.judge.mode")
    said = plan(*shape, "pairwise").output
    assert "lists                   3,584  pairs (judge.mode pairwise, judge.comparisons all)" in said
    assert "critiques              28,672  k = 8 per list" in said
    assert "critiques               8,192" in plan(*shape, "pairwise", "--grm.judge.comparisons", "circular").output
    said = plan(*shape, "tiebreak").output
    assert "lists                   1,024  of at most 4 (judge.list_size); 768 are pairs of neighbours that may" in said
    assert "critiques               8,192" in said
    assert "of tie-breaks          6,144  if all neighbours are tied; expected: a third of them" in said


def test_with_a_speed_it_says_how_many_replicas_are_needed() -> None:
    said = plan(*RATE, "--rollout-s", "120").output
    assert "<- configured" in said
    assert (
        "(failure.deadline_s) needs 1 replica(s) for a burst; with the 1 configured it allows sampling.k up to" in said
    )
    assert "keep up with a rollout of 120 s" in said
    found = numbers(*RATE, "--rollout-s", "120")
    assert found["within_deadline"] == 1
    rows = found["rows"]
    assert isinstance(rows, list)
    assert [row["replicas"] for row in rows] == sorted({row["replicas"] for row in rows})
    assert all(a["burst_s"] >= b["burst_s"] for a, b in pairwise(rows))


def test_a_deadline_that_nothing_meets_is_told() -> None:
    said = plan(*RATE, "--grm.failure.deadline_s", "5", "--grm.group.wait_s", "1").output
    assert "no number of replicas meets the deadline of 5 s" in said


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures_are_named(name: str) -> None:
    said = plan("--published", name).output
    assert f"(published: {PUBLISHED[name].about})" in said


def test_an_engine_is_measured(tmp_path: Path) -> None:
    """The fake engine takes 0.1 s for any number of critiques: its speed is flat, and as many fit as it takes."""
    groups = tmp_path / "groups.jsonl"
    groups.write_text(json.dumps({"prompt": "Name a fruit.", "responses": ["fig", "plum and pear"]}) + "\n")
    found = numbers("--probe", "--groups", str(groups), "--grm.engine.delay_s", "0.1", config=DRY_RUN)
    speed, step = found["speed"], found["step"]
    assert isinstance(speed, dict)
    assert isinstance(step, dict)
    assert 100 < speed["at_once"] <= 256  # engine.max_concurrency, and no more than were seen at once
    assert 0.08 < speed["step_s"] * step["tokens"]["critique"] < 0.2  # it sleeps for 0.1


def test_traces_tell_lengths_and_speed(tmp_path: Path) -> None:
    store = tmp_path / "traces.db"
    recorder = Recorder(TraceConfig(path=str(store)), FailureConfig(), "grm", "fake")
    recorder.offer(judged("3", "4", generator=writing("as seen.")))
    recorder.close()
    said = plan("--traces", str(store), config=DRY_RUN).output
    assert f"7 per critique (1 groups in {store})" in said
    assert "(Little's law)" in said
    with pytest.raises(StoreError, match="has the traces of fake"):
        CliRunner().invoke(app, ["plan", "-c", str(LARGE), "--traces", str(store)], catch_exceptions=False)


def test_the_cache_of_a_model_that_is_here_is_counted(tmp_path: Path) -> None:
    """DeepSeek-V2-Lite's shape: one latent vector of 576 values per layer, 31,104 bytes per token."""
    shape = {"num_hidden_layers": 27, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "torch_dtype": "bfloat16"}
    model = tmp_path / "GRM-16B"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(shape))
    found = numbers(*RATE, "--gpu-gib", "80", "--grm.engine.model", str(model))
    assert found["cache"] == pytest.approx((0.9 * 80 * 2**30 - 32e9 - 2 * 2**30) / 31_104, rel=0.001)
    small = ["plan", "-c", str(LARGE), "--gpu-gib", "24", "--grm.engine.model", str(model)]
    with pytest.raises(ConfigError, match=r"leave no room for a KV cache.*raise engine\.tensor_parallel_size"):
        CliRunner().invoke(app, small, catch_exceptions=False)


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "plan.png"
    assert plan(*RATE, "--output", str(path)).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--probe", *RATE), "--probe and --tokens-per-s each give a speed"),
        (("--published", "gpt"), "take one of qwen3-32b-h100"),
        (("--output", "plan.pdf", *RATE), r"ends in \.png or \.svg"),
        (("--output", "plan.png"), "no speed is known"),
        (("--groups", "groups.jsonl"), "--groups is for --probe"),
        (("--critique-tokens", "100", "--longest-tokens", "50"), "is below the mean critique"),
        (("--traces", "nowhere.db"), "there is no trace store at nowhere.db"),
        (("--at-once", "8"), "--at-once is of a speed"),
        (("--traces-replicas", "8", *RATE), "--traces-replicas is for --traces"),
        (("--output", "nowhere/plan.png", *RATE), "there is no folder nowhere"),
    ],
    ids=[
        *("two speeds", "unknown figure", "unknown picture", "nothing to draw", "groups alone", "lengths", "no store"),
        *("width alone", "replicas alone", "no folder"),
    ],
)
def test_wrong_commands_say_what_to_change(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises((ConfigError, StoreError), match=words):
        CliRunner().invoke(app, ["plan", "-c", str(LARGE), *arguments], catch_exceptions=False)


def test_the_configuration_may_have_the_lengths_of_its_model() -> None:
    """Without any source a prompt is as long as model and responses allow."""
    config = make_config(
        engine__type="vllm", engine__model="a/b", engine__max_model_len=4096, sampling__max_tokens=1024
    )
    from grm_plugin.plan.known import by_setting

    assert by_setting(config).tokens.prompt == 3072


@pytest.mark.parametrize(
    "arguments",
    [("--tokens-per-s", "inf"), ("--critique-tokens", "1e308"), ("--rollout-s", "inf"), ("--rollout-s", "nan")],
)
def test_numbers_that_are_none_are_refused(arguments: tuple[str, ...]) -> None:
    result = plan(*arguments)
    assert result.exit_code == 2
    assert f"Invalid value for '{arguments[0]}'" in result.output


def test_long_rollouts_and_steps_of_one_prompt_end(tmp_path: Path) -> None:
    assert "keep up with a rollout of 1,000,000 s" in plan(*RATE, "--rollout-s", "1e6").output
    assert plan(*RATE, "--prompts", "1", "--n", "4096", "--grm.sampling.k", "128").exit_code == 0


def test_traces_of_several_replicas_are_divided_by_those_that_ran(tmp_path: Path) -> None:
    store = fill(tmp_path / "traces.db", [judged("3", "4", generator=writing("as seen."))])
    one, four = (
        numbers("--traces", str(store), "--traces-replicas", str(ran), config=DRY_RUN)["speed"] for ran in (1, 4)
    )
    assert isinstance(one, dict)
    assert isinstance(four, dict)
    assert four["step_s"] == pytest.approx(one["step_s"])
    assert four["at_once"] < one["at_once"]
    assert "the store does not say of which model" in plan("--traces", str(store), config=DRY_RUN).output


def test_a_rate_is_that_of_as_many_critiques_as_fit(tmp_path: Path) -> None:
    """The user's 4,000 tokens/s stay 4,000, however few critiques the cache holds."""
    model = tmp_path / "GRM-16B"
    model.mkdir()
    shape = {"num_hidden_layers": 27, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "torch_dtype": "bfloat16"}
    (model / "config.json").write_text(json.dumps(shape))
    said = plan(*RATE, "--gpu-gib", "40", "--grm.engine.model", str(model)).output
    assert "4,000 tokens/s (--tokens-per-s 4000)" in said


def test_a_model_of_unknown_size_has_an_unknown_cache(tmp_path: Path) -> None:
    model = tmp_path / "judge-awq"
    model.mkdir()
    (model / "config.json").write_text(
        json.dumps({"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64})
    )
    said = plan(*RATE, "--gpu-gib", "24", "--grm.engine.model", str(model)).output
    assert "neither its weights nor its name say how large it is" in said
