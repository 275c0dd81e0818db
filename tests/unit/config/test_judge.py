"""The section `judge`: presets fill in what is not set, and what contradicts itself is named with its fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from grm_plugin.config.explaining import explained
from grm_plugin.config.judge import PresetName
from grm_plugin.config.loading import load_config
from grm_plugin.config.presets import PRESETS, known_judge
from grm_plugin.errors import ConfigError
from support.factories import make_config

MINE = "builtin:listwise"


def load(**judge: Any) -> Any:
    return make_config(judge=judge).judge


def test_the_key_knows_every_preset() -> None:
    assert get_args(PresetName) == tuple(sorted(PRESETS, key=list(get_args(PresetName)).index))
    assert set(get_args(PresetName)) == set(PRESETS)


@pytest.mark.parametrize(
    ("preset", "answer", "scale", "list_size", "pairs"),
    [
        ("deepseek_grm", "boxed", (1, 10), 4, False),
        ("any_instruct", "boxed", (1, 10), 4, False),
        ("gpt_score", "score", (1, 10), 1, False),
        ("rm_r1", "verdict", (1, 10), 2, True),
        ("skywork_critic", "verdict", (1, 10), 2, True),
        ("compass_judger", "verdict", (1, 10), 2, True),
        ("prometheus_2", "score", (1, 5), 1, False),
        ("prometheus_2_pairs", "verdict", (1, 10), 2, True),
        ("selene", "score", (1, 5), 1, False),
        ("j1", "boxed", (1, 10), 2, True),
        ("nemotron_genrm", "regex", (1, 5), 2, False),
    ],
)
def test_what_a_preset_sets(preset: str, answer: str, scale: tuple[int, int], list_size: int, pairs: bool) -> None:
    judge = load(preset=preset)
    assert (judge.answer, judge.scale, judge.list_size, judge.pairs) == (answer, scale, list_size, pairs)
    assert judge.template in (None, f"builtin:{preset}")


def test_what_is_set_counts_over_the_preset() -> None:
    judge = load(preset="deepseek_grm", list_size=3, decimals="accept", template=MINE)
    assert (judge.list_size, judge.decimals, judge.template) == (3, "accept", MINE)
    other = load(preset="prometheus_2", template=MINE, scale=[1, 10], answer="brackets")
    assert (other.scale, other.answer, other.list_size) == ((1, 10), "brackets", 1)
    assert load(preset="gpt_score", scale=[0, 100], list_size=4).answer == "score", "the general template asks for it"


@pytest.mark.parametrize("preset", PRESETS)
def test_the_effective_values_are_explained_and_load_again(preset: str) -> None:
    config = make_config(judge={"preset": preset})
    text = explained(config)
    again = load_config(yaml.safe_load(text))
    assert again == config
    assert f"answer: {config.judge.answer}" in text
    assert f"scale: [{config.judge.scale[0]}, {config.judge.scale[1]}]" in text
    assert again.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ({"preset": "rmr1"}, ["judge.preset", "'rm_r1'", "'rmr1'"]),
        ({"preset": "rm_r1", "list_size": 4}, ["judge.list_size", "it is 4", "preset rm_r1 reads pairs", "leave"]),
        ({"preset": "j1", "list_size": 1}, ["judge.list_size", "pairs"]),
        ({"preset": "prometheus_2", "list_size": 2}, ["judge.list_size", "at most 1 at once"]),
        ({"preset": "nemotron_genrm", "list_size": 4}, ["judge.list_size", "at most 2 at once"]),
        ({"preset": "selene", "scale": [1, 10]}, ["judge.scale", "preset selene asks for [1, 5]", "give a template"]),
        ({"preset": "rm_r1", "answer": "json"}, ["judge.answer", "preset rm_r1 asks for verdict"]),
        ({"preset": "nemotron_genrm", "pattern": "(a)(b)"}, ["judge.pattern", "preset nemotron_genrm asks for"]),
        ({"answer": "boxd"}, ["judge.answer", "'verdict'", "'boxd'"]),
        ({"answer": "verdict"}, ["judge.list_size", "it is 4", "set list_size: 2"]),
        ({"answer": "verdict", "list_size": 2, "scale": [1, 5]}, ["judge.scale", "leave scale out"]),
        ({"scale": [5, 1]}, ["judge.scale", "[5, 1]", "lowest score first"]),
        ({"scale": [5, 5]}, ["judge.scale", "[5, 5]"]),
        ({"scale": 5}, ["judge.scale", "as in [1, 5]"]),
        ({"scale": [1, 2, 3]}, ["judge.scale", "as in [1, 5]"]),
        ({"scale": [0.5, 5]}, ["judge.scale", "whole numbers"]),
        ({"scale": ["1", "5"]}, ["judge.scale", "whole numbers"]),
        ({"scale": [False, True]}, ["judge.scale", "whole numbers"]),
        ({"answer": "regex"}, ["judge.pattern", "needs one"]),
        ({"pattern": r"(\d)"}, ["judge.pattern", "only answer regex uses it", "leave it out"]),
        ({"answer": "regex", "pattern": "(a", "list_size": 1}, ["judge.pattern", "RE2 refuses it", "missing )"]),
        ({"answer": "regex", "pattern": r"(\d)(?=x)", "list_size": 1}, ["judge.pattern", "(?=", "look-around"]),
        ({"answer": "regex", "pattern": r"(\d)\1", "list_size": 1}, ["judge.pattern", "back-references"]),
        ({"answer": "regex", "pattern": r"(\d)"}, ["judge.list_size", "it is 4", "pattern has 1 groups"]),
        ({"answer": "regex", "pattern": r"\d", "list_size": 1}, ["judge.list_size", "pattern has 0 groups"]),
        ({"template": "builtin:nowhere"}, ["judge.template", "'builtin:nowhere' does not ship", "deepseek_grm"]),
    ],
)
def test_what_is_wrong_is_named(judge: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load(**judge)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


@pytest.mark.parametrize(
    ("judge", "reads"),
    [
        ({}, [1, 2, 3, 8]),
        ({"preset": "deepseek_grm"}, [1, 2, 3, 8]),
        ({"preset": "rm_r1"}, [2]),
        ({"answer": "verdict", "list_size": 2}, [2]),
        ({"preset": "nemotron_genrm"}, [1, 2]),
        ({"preset": "prometheus_2"}, [1]),
        ({"answer": "regex", "pattern": "(a)(b)?(c)?", "list_size": 3}, [1, 2, 3]),
        ({"answer": "regex", "pattern": "(a)(b)", "list_size": 2}, [2]),
    ],
)
def test_how_many_responses_can_be_shown_together(judge: dict[str, Any], reads: list[int]) -> None:
    assert [n for n in (1, 2, 3, 8) if load(**judge).reads(n)] == reads


@pytest.mark.parametrize(
    ("model", "preset"),
    [
        ("BBQGOD/DeepSeek-GRM-16B", "deepseek_grm"),
        ("/models/DeepSeek-GRM-27B/", "deepseek_grm"),
        ("gaotang/RM-R1-Qwen2.5-Instruct-7B", "rm_r1"),
        ("Skywork/Skywork-Critic-Llama-3.1-8B", "skywork_critic"),
        ("opencompass/CompassJudger-1-7B-Instruct", "compass_judger"),
        ("prometheus-eval/prometheus-7b-v2.0", "prometheus_2"),
        ("AtlaAI/Selene-1-Mini-Llama-3.1-8B", "selene"),
        ("haizelabs/j1-micro", "j1"),
        ("nvidia/Llama-3_3-Nemotron-Super-49B-GenRM", "nemotron_genrm"),
        ("Qwen/Qwen2.5-7B-Instruct", None),
        ("", None),
    ],
)
def test_models_are_known_by_their_names(model: str, preset: str | None) -> None:
    assert known_judge(model) == preset


def test_a_template_by_its_name_is_no_path(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        "engine: {type: fake}\njudge: {template: 'builtin:deepseek_grm'}\n"
        "meta_rm: {type: vllm, model: a/b, template: 'builtin:deepseek_grm_meta_rm'}\n"
    )
    config = load_config(tmp_path / "c.yaml")
    assert config.judge.template == "builtin:deepseek_grm"
    assert config.meta_rm is not None
    assert config.meta_rm.template == "builtin:deepseek_grm_meta_rm"


PAIR = {"answer": "verdict", "list_size": 2}


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ({"mode": "pairs"}, "'listwise', 'pairwise' or 'tiebreak'"),
        ({"comparisons": "circular"}, "mode listwise does not use comparisons, only mode pairwise does"),
        ({"mode": "tiebreak", "pair_rewards": "borda"}, "mode tiebreak does not use pair_rewards, only mode pairwise"),
        ({"tiebreak": {"k": 4}}, "mode listwise does not use tiebreak, only mode tiebreak does"),
        ({"mode": "pairwise", "tiebreak": {"k": 4}}, "mode pairwise does not use tiebreak"),
        (
            {"mode": "pairwise", "preset": "selene"},
            "preset selene reads one at a time: choose a preset that reads pairs",
        ),
        ({"mode": "tiebreak", "preset": "prometheus_2", "list_size": 1}, "list_size is 1: raise it, or set mode"),
        ({"mode": "tiebreak", "list_size": 1}, "list_size is 1: raise it, or set mode: listwise"),
        ({"mode": "tiebreak", **PAIR}, "this GRM reads nothing but pairs: set mode: pairwise"),
        ({"mode": "tiebreak", "preset": "j1"}, "this GRM reads nothing but pairs: set mode: pairwise"),
        (
            {"mode": "pairwise", "answer": "regex", "pattern": r"(\d) (\d) (\d)", "list_size": 3},
            r"pattern has 3 group\(s\): give one for each of two",
        ),
        ({"mode": "tiebreak", "tiebreak": {"flip": 0.5}}, "judge.tiebreak.flip"),
        ({"mode": "tiebreak", "tiebreak": {"k": 1}}, "judge.tiebreak.k"),
    ],
)
def test_what_a_mode_cannot_do_is_told_with_its_fix(judge: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(**judge)


@pytest.mark.parametrize(
    ("sampling", "mode", "words"),
    [
        ({"k": 1}, "pairwise", "sampling.k is 1, and judge.mode pairwise shows each pair in both orders"),
        ({"orders": 1}, "tiebreak", "sampling.orders is 1, and judge.mode tiebreak shows each pair in both orders"),
        ({"temperature": 0}, "tiebreak", "with sampling.temperature 0 those of an order are all the same"),
        ({"k": 4, "adaptive": {}}, "pairwise", "would never end before the last vote"),
    ],
)
def test_what_a_mode_cannot_do_with_the_sampling_is_told_too(sampling: dict[str, Any], mode: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_config(sampling=sampling, judge__mode=mode)


def test_pairwise_minds_no_list_size() -> None:
    assert make_config(judge={"mode": "pairwise", "list_size": 1}, sampling={"k": 8, "adaptive": {}}).judge.compares
    assert (load(mode="pairwise").shown_together, load(mode="tiebreak").shown_together) == (2, 4)
    for pairs in (PAIR, {"preset": "rm_r1"}, {"answer": "regex", "pattern": r"(\d) (\d)", "list_size": 2}):
        assert load(mode="pairwise", **pairs).compares
    assert load(mode="pairwise", preset="gpt_score").shown_together == 2
