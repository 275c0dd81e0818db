"""`grm-plugin doctor`: what it finds on a machine that is not as it should be."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from grm_plugin.batch.lost_votes import advice, unread_rule
from grm_plugin.cli.app import app
from grm_plugin.config import Config
from grm_plugin.config.loading import load_config
from grm_plugin.doctor.criteria import check_criteria
from grm_plugin.doctor.dry_run import _judge as judge_in_this_process
from grm_plugin.doctor.dry_run import dry_run, dry_run_finding
from grm_plugin.doctor.examine import CHECKS, Check, examine
from grm_plugin.doctor.findings import Finding, ok
from grm_plugin.doctor.group import check_group
from grm_plugin.doctor.models import check_meta_rm, check_models
from grm_plugin.doctor.port import check_port
from grm_plugin.doctor.prompt_length import Lengths, check_prompts, lengths_finding
from grm_plugin.engines import fake
from grm_plugin.engines.model_files import read_files
from grm_plugin.errors import EngineError
from grm_plugin.wire.schemas import WireJudgement
from support.factories import make_config
from support.paths import ROOT

NANO = ROOT / "examples" / "nano" / "models"
CONFIGS = ROOT / "configs"


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    """Makes a model's folder: config.json of these keys, and two shards of weights."""

    def make(**config: Any) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}})
        )
        for name in ("1.safetensors", "2.safetensors"):
            (folder / name).write_bytes(bytes(1000))
        return folder

    return make


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_configuration_without_models_is_examined_and_tried(free_port: int) -> None:
    done = doctor("--config", CONFIGS / "dry_run.yaml", "--grm.service.port", free_port)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert any(line.startswith("ok      dry run        4 of 4 votes read") for line in lines)
    assert lines[-1].endswith("0 errors")
    assert "\x1b" not in done.output


def test_json_says_the_same(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        done = doctor("--config", CONFIGS / "dry_run.yaml", "--grm.service.port", free_port, "--json")
    assert done.exit_code == 1
    said = json.loads(done.output)
    assert said["ok"] is False
    (problem,) = [finding for finding in said["findings"] if finding["level"] == "error"]
    assert problem["check"] == "port"
    assert problem["message"] == f"cannot listen on 127.0.0.1:{free_port} (Address already in use)"
    assert problem["fix"].startswith("set service.port (--grm.service.port) to a free port")


def test_an_engine_that_does_not_answer_is_an_error() -> None:
    config = make_config(
        engine__type="openai", engine__model="m", engine__base_url="http://127.0.0.1:1/v1", sampling__k=1
    )
    found = dry_run(config)
    assert found.level == "error"
    assert "http://127.0.0.1:1/v1 cannot be reached" in found.message
    assert "does the server run, and are engine.base_url, engine.model and the key right?" in found.fix
    assert "Scores" not in found.fix


def test_a_meta_rm_that_does_not_rate_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoRatings:
        def __init__(self, *_: Any) -> None:
            pass

        async def rate(self, conversations: Any) -> list[float]:
            raise EngineError("no such pooling task")

    monkeypatch.setattr(fake, "FakeMetaRM", NoRatings)
    with pytest.raises(EngineError, match="the meta RM: no such pooling task"):
        asyncio.run(judge_in_this_process(make_config(meta_rm={"type": "fake"})))


def test_a_dry_run_leaves_no_trace_and_no_state(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    normalize = {"method": "running", "state_path": str(state)}
    config = make_config(trace__path=str(tmp_path / "traces.db"), normalize=normalize)
    assert dry_run(config).level == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (["engine"], "engine.base_url"),
        (["timeout"], "raise failure.deadline_s"),
        (["too_long"], "lower judge.max_response_chars or judge.list_size"),
        (["truncated"], "raise sampling.max_tokens"),
        (["no_scores"], "Scores: \\boxed{...}"),
        (["no_scores", "engine", "engine"], "engine.base_url"),
        (["a reason of a newer version"], "judge.template"),
        ([], "judge.template"),
    ],
)
def test_the_fix_fits_the_cause(reasons: list[str], words: str) -> None:
    assert words in advice(reasons)
    assert ("Scores" in advice(reasons)) == ("Scores" in words or "judge.template" in words)


@pytest.mark.parametrize(("parsed", "level"), [(0, "error"), (1, "warning"), (2, "ok")])
def test_a_dry_run_is_judged_by_the_votes_that_can_be_read(parsed: int, level: str) -> None:
    vote = 5.5 if parsed else None
    reward = {"value": 0.5 if parsed else None, "mean": vote, "total": vote, "spread": 0.0 if parsed else None}
    reward |= {
        "meta": None,
        "tokens": 1.0,
        "cut": 0,
        "status": "ok" if parsed else "no_votes",
        "settled": 0.5,
        "unit": 0.5,
        "votes_asked": 2,
        "votes_parsed": parsed,
        "votes_kept": parsed,
    }
    lost = [{"reason": "no_scores", "detail": "", "text": "Well."}] * (2 - parsed)
    judged = WireJudgement.model_validate({"rewards": [reward], "critiques": [], "unparsed": lost, "latency_s": 0.1})
    found = dry_run_finding(judged, make_config())
    assert found.level == level
    assert ("no_scores" in found.message) == (parsed < 2)


@pytest.mark.parametrize(
    ("method", "n", "level"), [("group", 1, "warning"), ("rank", 1, "warning"), ("group", 2, "ok"), ("unit", 1, "ok")]
)
def test_one_sample_per_prompt_is_told_where_samples_are_compared(
    method: str, n: int, level: str, free_port: int
) -> None:
    assert only(check_group(make_config(normalize__method=method, group__n=n))).level == level
    flags = ("--grm.normalize.method", method, "--grm.group.n", n, "--grm.service.port", free_port)
    said = doctor("--config", CONFIGS / "dry_run.yaml", *flags).output
    line = next(line for line in said.splitlines() if line.split()[1:3] == ["dry", "run"])
    if level == "warning":
        assert f"normalize.method {method} compares the responses to a prompt" in said
        assert "set group.n to the job's samples per prompt" in said
        assert "mean votes " in line
        assert "rewards" not in line
    else:
        assert "rewards " in line


def test_a_check_that_hangs_or_fails_costs_a_warning_and_no_other_check() -> None:
    release = threading.Event()

    def hang(config: Config) -> list[Finding]:
        release.wait(30)
        return [ok("hang", "late")]

    def fail(config: Config) -> list[Finding]:
        raise OSError("the driver is gone")

    checks = (Check("hang", hang, 0.05), Check("fail", fail), Check("fine", lambda _: [ok("fine", "fine")]))
    found = {finding.check: finding for finding in examine(make_config(), checks)}
    release.set()
    assert [found[name].level for name in ("hang", "fail", "fine")] == ["warning", "warning", "ok"]
    assert "within 0.05 s" in found["hang"].message
    assert "OSError: the driver is gone" in found["fail"].message


def test_every_check_has_a_deadline() -> None:
    assert all(0 < check.deadline_s <= 120 for check in CHECKS)


def test_an_unknown_model_is_an_error_only_where_it_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(engine__type="vllm", engine__model="no-such-owner/no-such-model")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    found = only(check_models(config))
    assert (found.level, found.fix) == ("warning", "do it before the job: hf download no-such-owner/no-such-model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert only(check_models(config)).level == "error"


def test_a_model_with_a_missing_shard_is_an_error(model: Callable[..., Path]) -> None:
    folder = model()
    config = make_config(engine__type="vllm", engine__model=str(folder))
    assert only(check_models(config)).level == "ok"
    (folder / "2.safetensors").unlink()
    found = only(check_models(config))
    assert found.level == "error"
    assert "1 files of weights are missing, first 2.safetensors" in found.message
    (folder / "config.json").write_text("{")
    assert only(check_models(config)).level == "error"


@pytest.mark.parametrize(
    ("keys", "labels"),
    [
        ({"id2label": {"0": "LABEL_0"}}, 1),
        ({"num_labels": 1}, 1),
        ({}, 2),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, 3),
    ],
)
def test_a_meta_rm_needs_one_label(model: Callable[..., Path], keys: dict[str, Any], labels: int) -> None:
    folder = model(architectures=["Qwen2ForSequenceClassification"], **keys)
    found = only(check_meta_rm(make_config(meta_rm__model=str(folder))))
    assert found.level == ("ok" if labels == 1 else "error")
    assert labels == 1 or f"has {labels} labels" in found.message


def test_a_template_that_does_not_render_is_an_error(tmp_path: Path) -> None:
    template = tmp_path / "bad.txt"
    template.write_text("{{ respones }}")
    found = only(check_prompts(make_config(judge__template=str(template))))
    assert found.level == "error"
    assert "respones" in found.message


def test_prompts_are_counted_with_the_models_own_tokenizer(tmp_path: Path) -> None:
    nano = {"engine__type": "vllm", "engine__model": str(NANO / "grm"), "engine__max_model_len": 1024}
    own = {"judge__template": str(NANO.parent / "listwise.txt"), "sampling__max_tokens": 160}
    template = tmp_path / "long.txt"
    preface = "a very long preface " * 500
    template.write_text(preface + "{{ messages }} {{ responses }} {{ reference }} {{ rubric }}")
    fits, no_reference = check_prompts(make_config(**nano, **own, judge__max_response_chars=100))
    assert fits.level == "ok", fits
    assert no_reference.level == "warning"
    assert "does not show reference answers ({{ reference }}), grading notes ({{ rubric }})" in no_reference.message
    too_long, _ = check_prompts(make_config(**nano, **own))
    assert too_long.level == "warning"
    assert "lower judge.max_response_chars to about" in too_long.fix
    hopeless, as_list = check_prompts(make_config(**nano, judge__template=str(template)))
    assert as_list.level == "warning"
    assert "changes characters of responses" in as_list.message
    assert hopeless.level == "error"
    assert "without any response" in hopeless.message


def test_a_template_that_shows_no_response_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "card.txt").write_text("#### Context\n{conversation context & query}\n#### Responses\n{the responses}")
    found = only(check_prompts(make_config(judge__template=str(tmp_path / "card.txt"))))
    assert found.level == "error"
    assert "does not show response 1 of 1" in found.message
    assert "{{ responses }}" in found.message


META = {"model": "BBQGOD/DeepSeek-GRM-27B-MetaRM"}


@pytest.mark.parametrize(
    ("config", "fixes"),
    [
        ({"engine__model": "BBQGOD/DeepSeek-GRM-16B"}, ["set judge.preset: deepseek_grm"]),
        ({"engine__model": "gaotang/RM-R1-Qwen2.5-Instruct-7B"}, ["set judge.preset: rm_r1"]),
        ({"engine__model": "BBQGOD/DeepSeek-GRM-16B", "judge__preset": "deepseek_grm"}, []),
        ({"engine__model": "BBQGOD/DeepSeek-GRM-16B", "judge__preset": "any_instruct"}, []),
        ({"engine__model": "BBQGOD/DeepSeek-GRM-16B", "judge__template": "builtin:deepseek_grm"}, []),
        ({"engine__model": "Qwen/Qwen2.5-7B-Instruct"}, []),
    ],
)
def test_weights_that_know_another_template_are_warned_about(config: dict[str, Any], fixes: list[str]) -> None:
    openai = {"engine__type": "openai", "engine__base_url": "http://127.0.0.1:1/v1"}
    found = check_prompts(make_config(**openai, **config))
    assert [finding.fix for finding in found if "general template" in finding.message] == fixes
    assert all(finding.level == "warning" for finding in found if finding.fix in fixes)


@pytest.mark.parametrize(
    ("template", "fixes"),
    [
        ({}, ["set meta_rm.template: builtin:deepseek_grm_meta_rm"]),
        ({"template": "builtin:deepseek_grm_meta_rm"}, []),
    ],
)
def test_a_meta_rm_that_knows_another_template_is_warned_about(template: dict[str, str], fixes: list[str]) -> None:
    found = check_prompts(make_config(meta_rm=META | template))
    assert [finding.fix for finding in found if "general template" in finding.message] == fixes


@pytest.mark.parametrize("file", ["deepseek_grm_16b", "deepseek_grm_27b_meta_rm", "openai_endpoint"])
def test_the_configurations_of_released_weights_name_their_templates(file: str) -> None:
    found = check_prompts(load_config(CONFIGS / f"{file}.yaml"))
    assert not [finding for finding in found if "general template" in finding.message or finding.level == "error"]


def test_the_chat_template_gets_its_arguments_and_misspelt_ones_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "grm"
    shutil.copytree(NANO / "grm", folder)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + "{% if thoughts %}" + "think and think again " * 1000 + "{% endif %}")
    config = {"engine": {"type": "vllm", "model": str(folder), "max_model_len": 1024}, "sampling__max_tokens": 160}
    config |= {"judge__max_response_chars": 100, "judge__template": str(NANO.parent / "listwise.txt")}

    def found(**template_kwargs: Any) -> list[tuple[str, str]]:
        config["engine"]["chat_template_kwargs"] = template_kwargs
        findings = check_prompts(make_config(**config))
        return [(each.level, each.message) for each in findings if "does not show reference" not in each.message]

    assert [level for level, _ in found()] == ["ok"]
    assert [level for level, _ in found(thoughts=False)] == ["ok"]
    assert [level for level, _ in found(thoughts=True)] == ["error"]
    fits, misspelt = found(thoughs=True)
    assert (fits[0], misspelt[0]) == ("ok", "warning")
    assert "does not read thoughs" in misspelt[1]


@pytest.mark.parametrize(
    ("lengths", "level", "words"),
    [
        (Lengths(200, 4000), "ok", "fit into 8192"),
        (Lengths(200, 20_000), "warning", "max_response_chars to about 7200"),
        (Lengths(7000, 9000), "error", "without any response"),
        (Lengths(8170, 9000), "error", "without any response"),
    ],
)
def test_lengths_are_held_against_the_models_limit(lengths: Lengths, level: str, words: str) -> None:
    found = lengths_finding("prompt", make_config(sampling__max_tokens=2048), lengths, 8192)
    assert found.level == level
    assert words in f"{found.message} {found.fix}"


def test_a_critique_longer_than_what_is_left_is_warned_about() -> None:
    found = lengths_finding("prompt", make_config(sampling__max_tokens=4096), Lengths(5000, 9000), 8192)
    assert (found.level, "critiques are cut" in found.message) == ("warning", True)


def test_the_nano_models_are_read_from_disk() -> None:
    files = read_files(NANO / "meta_rm")
    assert files.labels == 1
    assert files.weights > 10**6
    assert files.missing == ()


def test_a_free_port_is_free(free_port: int) -> None:
    assert only(check_port(make_config(service__port=free_port))).level == "ok"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"judge__preset": "rm_r1"}, True),
        ({"judge__preset": "selene"}, True),
        ({"judge__answer": "json"}, True),
        ({"judge__scale": [1, 5]}, True),
        ({"judge__preset": "j1"}, False),
        ({}, False),
    ],
)
def test_the_rule_of_a_dry_run_writes_one_form_only(keys: dict[str, Any], said: bool) -> None:
    problem = unread_rule(make_config(**keys))
    assert ("leave them out to try the wiring" in problem) is said


def test_what_a_dry_run_lost_is_told_in_one_line() -> None:
    found = dry_run(make_config(judge__preset="rm_r1", engine__type="fake"))
    assert found.level == "error"
    assert "0 of" in found.message
    assert "\n" not in found.message
    assert "leave them out to try the wiring" in found.fix


class TestCriteria:
    def test_rules_and_principles_are_loaded(self, tmp_path: Path) -> None:
        (tmp_path / "rules.py").write_text("def short(response):\n    return len(response) < 9\n")
        rule = {"name": "short", "kind": "rule", "function": f"{tmp_path}/rules.py:short"}
        [finding] = check_criteria(make_config(judge__criteria=[{"name": "right", "text": "Is it?"}, rule]))
        assert (finding.level, finding.message) == ("ok", "1 for the GRM, 1 rules: short")

    @pytest.mark.parametrize(
        ("judge", "message"),
        [
            ({"criteria": [{"name": "short", "kind": "rule", "function": "nowhere.py:short"}]}, "nowhere.py"),
            ({"principles": {"file": "nowhere.txt"}}, "judge.principles.file"),
        ],
    )
    def test_what_is_missing_is_an_error(self, judge: dict[str, Any], message: str) -> None:
        [finding] = check_criteria(load_config({"engine": {"type": "fake"}, "judge": judge}))
        assert finding.level == "error"
        assert message in finding.message
