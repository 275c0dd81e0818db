import copy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from grm_plugin.config import (
    NEUTRAL_REWARD,
    Config,
    FailureConfig,
    FakeConfig,
    MetaRMConfig,
    NormalizeConfig,
    OpenAIConfig,
    Section,
    VLLMConfig,
    engines,
    sections,
)
from grm_plugin.config.loading import load_config, split_overrides
from grm_plugin.errors import ConfigError
from support.factories import make_config
from support.paths import ROOT

FAKE: dict[str, Any] = {"engine": {"type": "fake"}}
OPENAI: dict[str, Any] = {"type": "openai", "model": "grm", "base_url": "http://127.0.0.1:8001/v1"}
SECTIONS = [
    kind for kind in (vars(sections) | vars(engines)).values() if isinstance(kind, type) and issubclass(kind, Section)
]


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_the_papers() -> None:
    config = make_config(meta_rm__model="owner/meta")
    assert (config.sampling.k, config.sampling.temperature, config.kept_of(8)) == (8, 0.5, 4)
    assert config.failure.deadline_s < 180, "OpenRLHF gives up after 180 s"


@pytest.mark.parametrize(
    ("meta", "drawn", "expected"),
    [
        (None, 8, 8),
        ({}, 8, 4),
        ({}, 1, 1),
        ({}, 3, 1),
        ({}, 0, 0),
        ({"k_meta": 8}, 8, 8),
        ({"k_meta": 3}, 8, 3),
        ({"k_meta": 3}, 2, 2),
    ],
)
def test_how_many_of_the_drawn_votes_are_kept(meta: dict[str, int] | None, drawn: int, expected: int) -> None:
    section = None if meta is None else {"model": "owner/meta", **meta}
    assert load_config({**FAKE, "meta_rm": section}).kept_of(drawn) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, ["engine is missing"]),
        ({"engine": {}}, ["engine.type is missing; set it"]),
        ({"engine": "fake"}, ["engine must be a section (`engine: {type: fake}`), not 'fake'"]),
        ({"engine": {"type": "vlm"}}, ["engine.type is 'vlm'; use vllm, openai or fake"]),
        ({**FAKE, "meta_rm": "a/b"}, ["meta_rm must be a section (`meta_rm: {...}`), not 'a/b'"]),
        ({"engine": {"type": "vllm"}}, ["engine.model is missing"]),
        ({"engine": {"type": "vllm", "modle": "a/b", "model": "a/b"}}, ["engine.modle", "engine.model?"]),
        ({"engine": {"type": "fake", "model": "a/b"}}, ["engine.model is no key of type fake"]),
        ({**FAKE, "sampling": {"K": 4}}, ["unknown key sampling.K"]),
        ({**FAKE, "sampling": {"max_token": 4}}, ["unknown key sampling.max_token", "sampling.max_tokens?"]),
        ({**FAKE, "smapling": {"k": 4}}, ["unknown key smapling", "sampling?"]),
        ({**FAKE, "k": 4}, ["unknown key k", "sampling.k?"]),
        ({**FAKE, "xyzzy": 4}, ["unknown key xyzzy", "known keys", "sampling.k"]),
        ({**FAKE, 3: 4}, ["3"]),
        ({**FAKE, "sampling": {"k": "eight"}}, ["sampling.k", "integer", "'eight'"]),
        ({**FAKE, "sampling": {"k": 0}}, ["sampling.k", "greater than or equal to 1", "0"]),
        ({**FAKE, "sampling": {"temperature": -1}}, ["sampling.temperature"]),
        ({**FAKE, "sampling": 8}, ["sampling must be a section (`sampling: {...}`), not 8"]),
        ({**FAKE, "normalize": {"method": ["rank"]}}, ["normalize.method", "'rank'"]),
        ({**FAKE, "failure": {"policy": "zero"}}, ["failure.policy", "'group_mean'", "'zero'"]),
        ({**FAKE, "failure": {"constant": float("nan")}}, ["failure.constant", "finite"]),
        (
            {**FAKE, "meta_rm": {"model": "a/b", "k_meta": 9}},
            ["meta_rm.k_meta (9)", "sampling.k (8)", "keep at most k"],
        ),
        ({"engine": OPENAI | {"extra_body": {"temperature": 1}}}, ["engine.extra_body", "set by sampling.temperature"]),
        ({"engine": OPENAI | {"extra_body": {"max_completion_tokens": 1}}}, ["engine.max_tokens_name"]),
        ({"engine": OPENAI | {"extra_body": {"stream": True}}}, ["engine.extra_body", "stream"]),
        ({"engine": OPENAI | {"extra_body": {"day": date(2026, 1, 1)}}}, ["engine.extra_body", "what JSON can"]),
        ({"engine": OPENAI | {"extra_body": {"x": float("nan")}}}, ["engine.extra_body", "what JSON can"]),
        ({"engine": OPENAI | {"extra_body": "top_k: 5"}}, ["engine.extra_body", "'top_k: 5'"]),
        ({"engine": OPENAI | {"max_tokens_name": "max_new_tokens"}}, ["engine.max_tokens_name", "'auto'"]),
        (
            {"engine": OPENAI | {"chat_template_kwargs": {"tokenize": True}}},
            ["engine.chat_template_kwargs", "tokenize"],
        ),
        ({**FAKE, "meta_rm": {"model": "a/b", "chat_template_kwargs": [1]}}, ["meta_rm.chat_template_kwargs", "[1]"]),
        ({"engine": {"type": "fake", "extra_body": {}}}, ["engine.extra_body is no key of type fake"]),
        ({**FAKE, "conversation": {"format": "tokenizer"}}, ["conversation.tokenizer"]),
        ({**FAKE, "group": {"wait_s": 170}}, ["group.wait_s (170)", "failure.deadline_s (170)"]),
        (
            {**FAKE, "sampling": {"k": 4, "adaptive": {}}},
            ["never end before the last vote", "sampling.k is 4", "fewer than 4 votes", "sets of 4 orders"],
        ),
        ({**FAKE, "sampling": {"k": 9, "adaptive": {}}, "judge": {"list_size": 9}}, ["sets of 9", "Raise sampling.k"]),
        ({**FAKE, "sampling": {"k": 8, "orders": 8, "adaptive": {}}}, ["sets of 8 orders", "lower sampling.orders"]),
        (
            {**FAKE, "sampling": {"k": 8, "adaptive": {"goal": "advantage"}}},
            ["goal advantage looks at no fewer than 8 votes"],
        ),
        (
            {**FAKE, "sampling": {"k": 8, "adaptive": {}}, "meta_rm": {"model": "a/b"}},
            ["sampling.k is 8, of which half vote"],
        ),
        (
            {**FAKE, "sampling": {"k": 16, "adaptive": {}}, "meta_rm": {"model": "a/b", "k_meta": 3}},
            ["meta_rm.k_meta is 3", "leave k_meta out"],
        ),
        (
            {**FAKE, "sampling": {"k": 16, "temperature": 0, "adaptive": {}}},
            ["saves nothing where sampling.temperature is 0"],
        ),
        ({**FAKE, "sampling": {"k": 16, "adaptive": {}}, "judge": {"list_size": 1}}, ["judge.list_size is 1"]),
        ({**FAKE, "sampling": {"k": 16, "adaptive": {"flip": 1e-17}}}, ["sampling.adaptive.flip", "0.001"]),
        (
            {**FAKE, "sampling": {"k": 32, "adaptive": {"goal": "advantage", "tolerance": 0.02}}},
            ["sampling.adaptive.tolerance 0.02 cannot be reached", "lists of 4", "0.031"],
        ),
        ({**FAKE, "sampling": {"adaptive": {"z": 2}}}, ["unknown key sampling.adaptive.z"]),
        ({"engine": {"type": "vllm", "model": "./nowhere"}}, ["engine.model", "nowhere", "Hugging Face id"]),
        ({**FAKE, "judge": {"template": "nowhere.txt"}}, ["judge.template", "nowhere.txt", "template file"]),
    ],
)
def test_what_is_wrong_is_named(data: dict[Any, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(data)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


def test_mappings_are_set_from_the_command_line() -> None:
    overrides = {"engine.chat_template_kwargs.enable_thinking": "false", "engine.extra_body": "{top_k: 5}"}
    config = load_config({"engine": OPENAI}, overrides)
    assert isinstance(config.engine, OpenAIConfig)
    assert config.engine.chat_template_kwargs == {"enable_thinking": False}
    assert config.engine.extra_body == {"top_k": 5}


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"sampling\.k.*; .*judge\.list_size"):
        load_config({**FAKE, "sampling": {"k": 0}, "judge": {"list_size": 0}})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["must hold a mapping", "NoneType"]),
        ("- engine", ["must hold a mapping", "list"]),
        ("engine: [", ["cannot be read as YAML"]),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    assert all(word in str(error.value) for word in [str(path), *words])


def test_a_missing_file_and_one_in_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config file at .*nowhere\.yaml"):
        load_config(tmp_path / "nowhere.yaml")
    (tmp_path / "utf16.yaml").write_bytes("engine: {type: fäke}".encode("utf-16"))
    with pytest.raises(ConfigError, match=r"utf16.yaml cannot be read"):
        load_config(tmp_path / "utf16.yaml")


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "listwise.txt").touch()
    path = write(
        tmp_path,
        "engine: {type: vllm, model: ./model}\njudge: {template: listwise.txt}\n"
        "normalize: {method: running, state_path: state.json}",
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(path)
    assert isinstance(config.engine, VLLMConfig)
    assert config.engine.model == str(tmp_path / "model")
    assert config.judge.template == str(tmp_path / "listwise.txt")
    assert config.normalize.state_path == str(tmp_path / "state.json")


def test_a_hugging_face_id_is_left_alone(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "engine: {type: vllm, model: owner/name}"))
    assert isinstance(config.engine, VLLMConfig)
    assert config.engine.model == "owner/name"


def test_paths_in_overrides_are_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here/model", "there/model", "there/only"):
        (tmp_path / folder).mkdir(parents=True)
    path = write(tmp_path / "there", "engine: {type: vllm, model: ./model}")
    monkeypatch.chdir(tmp_path / "here")
    config = load_config(path, {"engine.model": "./model"})
    assert isinstance(config.engine, VLLMConfig)
    assert config.engine.model == str(tmp_path / "here" / "model")
    with pytest.raises(ConfigError, match=r"engine\.model: .*here/only"):
        load_config(path, {"engine.model": "./only"})


@pytest.mark.parametrize(
    ("overrides", "read"),
    [
        ({"sampling.k": "16"}, lambda c: c.sampling.k == 16),
        ({"sampling.temperature": "1e-1"}, lambda c: c.sampling.temperature == 0.1),
        ({"sampling.adaptive.flip": "0.1"}, lambda c: c.sampling.adaptive.flip == 0.1),
        ({"sampling.seed": "null"}, lambda c: c.sampling.seed is None),
        ({"judge.use_reference": "false"}, lambda c: c.judge.use_reference is False),
        ({"engine": "{type: openai, model: m, base_url: 'http://h/v1'}"}, lambda c: c.engine.model == "m"),
        ({"meta_rm.model": "a/b", "meta_rm.k_meta": "2"}, lambda c: c.kept_of(8) == 2),
    ],
)
def test_overrides(overrides: dict[str, str], read: Any) -> None:
    assert read(load_config({**FAKE, "sampling": {"seed": 1}, "meta_rm": None}, overrides))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"sampling.kk": "4"}, ["unknown key sampling.kk", "sampling.k"]),
        ({"sampling.k": ""}, ["sampling.k", "integer"]),
        ({"sampling.k.deep": "4"}, ["--grm.sampling.k.deep", "sampling.k is a value, not a section"]),
        ({"service.name": "[a"}, ["service.name", "pattern", "'[a'"]),
        ({"sampling.adaptive": "{a"}, ["--grm.sampling.adaptive", "'{a'", "quote"]),
    ],
)
def test_wrong_overrides_are_named(overrides: dict[str, str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_config({**FAKE, "sampling": {"k": 4}}, overrides)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


def test_overrides_leave_the_callers_mapping_alone() -> None:
    data = {**FAKE, "sampling": {"k": 4}}
    before = copy.deepcopy(data)
    assert load_config(data, {"sampling.k": "5"}).sampling.k == 5
    assert data == before


@pytest.mark.parametrize(
    ("arguments", "overrides", "rest"),
    [
        ([], {}, []),
        (["--a", "1", "-b"], {}, ["--a", "1", "-b"]),
        (["--grm.sampling.k", "4", "--a"], {"sampling.k": "4"}, ["--a"]),
        (["--a", "--grm.sampling.k=4", "x"], {"sampling.k": "4"}, ["--a", "x"]),
        (["--grm.engine.base_url=http://h/v1?a=b"], {"engine.base_url": "http://h/v1?a=b"}, []),
        (["--grm.failure.constant", "-1"], {"failure.constant": "-1"}, []),
        (["--grm.judge.template="], {"judge.template": ""}, []),
        (["--grm.sampling.k=4", "--grm.sampling.k=5"], {"sampling.k": "5"}, []),
    ],
)
def test_splitting_the_command_line(arguments: list[str], overrides: dict[str, str], rest: list[str]) -> None:
    assert split_overrides(arguments) == (overrides, rest)


@pytest.mark.parametrize("arguments", [["--grm.sampling.k"], ["--grm.sampling.k", "--lr", "3"]])
def test_a_flag_without_a_value(arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"--grm\.sampling\.k needs a value"):
        split_overrides(arguments)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda kind: kind.__name__)
def test_every_section_forbids_unknown_keys_and_describes_its_fields(section: type[Section]) -> None:
    assert section.model_config.get("extra") == "forbid"
    bare = [name for name, field in section.model_fields.items() if not field.description]
    assert bare == [], "a sentence of documentation per field"


def test_no_section_is_missing_above() -> None:
    assert {Config, MetaRMConfig, OpenAIConfig, Section} <= set(SECTIONS)
    assert len(SECTIONS) >= 14


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_configuration_loads(path: Path) -> None:
    config = load_config(path)
    assert config.kept_of(config.sampling.k) <= config.sampling.k
    assert yaml.safe_load(path.read_text(encoding="utf-8")).keys() <= Config.model_fields.keys()


@pytest.mark.parametrize(
    ("data", "constant"),
    [
        ({}, 0.5),
        ({"normalize": {"method": "none"}}, 5.5),
        ({"normalize": {"method": "group"}}, 0.0),
        ({"normalize": {"method": "group"}, "failure": {"policy": "constant", "constant": -1.0}}, -1.0),
    ],
)
def test_the_fallback_reward_is_neutral_unless_it_is_set(data: dict[str, Any], constant: float) -> None:
    assert load_config({"engine": {"type": "fake"}} | data).failure.constant == constant


@pytest.mark.parametrize("method", NEUTRAL_REWARD)
@pytest.mark.parametrize("failure", [{}, {"failure": FailureConfig(deadline_s=100)}, {"failure": {"deadline_s": 100}}])
def test_the_fallback_reward_is_neutral_whatever_it_is_built_from(method: Any, failure: dict[str, Any]) -> None:
    built = Config(engine=FakeConfig(), normalize=NormalizeConfig(method=method), **failure)
    assert built.failure.constant == NEUTRAL_REWARD[method]
    assert built == load_config({**FAKE, "normalize": {"method": method}, **failure})
    assert Config.model_validate_json(built.model_dump_json()) == built
    assert "constant" not in built.failure.model_fields_set
    assert Config(engine=FakeConfig(), failure=built.failure).failure.constant == 0.5, "of the method it is built with"


@pytest.mark.parametrize("constant", [0.5, -1.0])
def test_a_fallback_reward_that_is_set_stays(constant: float) -> None:
    failure = FailureConfig(constant=constant)
    built = Config(engine=FakeConfig(), normalize=NormalizeConfig(method="none"), failure=failure)
    assert built.failure == failure


USES = {"clip": ("group", "running"), "state_path": ("running",)}


@pytest.mark.parametrize("method", NEUTRAL_REWARD)
@pytest.mark.parametrize(("key", "value"), [("clip", 5), ("state_path", "/tmp/state.json")])
def test_what_a_method_has_no_use_for_is_refused(method: str, key: str, value: Any) -> None:
    """`method: none, clip: 5` made 5 of the means 6, 7, 9 and 10."""
    data = {**FAKE, "normalize": {"method": method, key: value}}
    if method in USES[key]:
        assert getattr(load_config(data).normalize, key) == value
        return
    words = rf"normalize\.{key}: method {method} does not use it, only {' and '.join(USES[key])}: leave it out"
    with pytest.raises(ConfigError, match=words):
        load_config(data)
    assert load_config(data, {f"normalize.{key}": "null"}).normalize.method == method


@pytest.mark.parametrize("value", [0.9, None])
def test_momentum_is_gone(value: float | None) -> None:
    message = r"config: normalize\.momentum is gone: method running now weighs all its samples equally; remove the key$"
    with pytest.raises(ConfigError, match=message):
        load_config({**FAKE, "normalize": {"method": "running", "momentum": value}})
    with pytest.raises(ConfigError, match=message):
        load_config(FAKE, {"normalize.momentum": "0.9"})


def test_waiting_for_siblings_leaves_half_of_the_time_for_judging() -> None:
    with pytest.raises(ConfigError, match=r"group.wait_s \(90\) must be at most half of failure.deadline_s \(170\)"):
        load_config({"engine": {"type": "fake"}, "group": {"wait_s": 90}})


@pytest.mark.parametrize("section", ["engine", "meta_rm"])
def test_injected_faults_are_gone(section: str) -> None:
    with pytest.raises(ConfigError, match=rf"{section}\.faults is gone: tests inject faults from outside"):
        load_config({"engine": {"type": "fake"}, section: {"type": "fake", "faults": "folder"}})
