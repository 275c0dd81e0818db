"""A text that is typed as an override stays what was typed, and models are looked for where they were named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.config.loading import load_config
from grm_plugin.errors import ConfigError
from grm_plugin.integrations.environment_variables import read_environment

OPENAI: dict[str, Any] = {"engine": {"type": "openai", "model": "m", "base_url": "http://h/v1"}}


def at(dump: dict[str, Any], dotted: str) -> Any:
    for key in dotted.split("."):
        dump = dump[key]
    return dump


@pytest.mark.parametrize(
    ("key", "typed", "value"),
    [
        ("service.host", "::", "::"),
        ("service.host", "::1", "::1"),
        ("service.host", "0", "0"),
        ("service.host", "1:30", "1:30"),
        ("service.host", "a: b", "a: b"),
        ("service.host", "{a", "{a"),
        ("service.host", "@host", "@host"),
        ("service.host", "a # b", "a # b"),
        ("service.host", "'a b'", "a b"),
        ("service.host", '"::"', "::"),
        ("service.host", "'", "'"),
        ("service.host", "'a': 'b'", "'a': 'b'"),
        ("service.name", "on", "on"),
        ("service.name", "null", "null"),
        ("engine.model", "123", "123"),
        ("engine.model", "1e3", "1e3"),
        ("engine.model", "2026-01-01", "2026-01-01"),
        ("engine.model", "no", "no"),
        ("engine.model", "~", str(Path.home())),
        ("normalize.method", "none", "none"),
        ("judge.template", "null", None),
        ("judge.template", "~", None),
        ("judge.template", "", None),
        ("trace.path", "NULL", None),
        ("meta_rm.dtype", "null", "null"),
        ("conversation.tokenizer", "null", None),
        ("sampling.seed", "null", None),
        ("sampling.k", "0x10", 16),
        ("judge.use_reference", "no", False),
        ("judge.control_tokens", "[<a>, <b>]", ("<a>", "<b>")),
        ("meta_rm.engine_args.quantization", "123", 123),
    ],
)
def test_what_an_override_means(key: str, typed: str, value: Any) -> None:
    assert at(load_config(OPENAI | {"meta_rm": {"model": "a/b"}}, {key: typed}).model_dump(), key) == value


@pytest.mark.parametrize(
    ("key", "typed", "message"),
    [
        ("service.host", "", r"--grm\.service\.host is empty: give a value, or leave it out"),
        ("service.host", "''", r"--grm\.service\.host is empty"),
        ("engine.model", " ", r"--grm\.engine\.model is empty"),
        ("judge.template", "no", r"judge\.template: 'no' is no file"),
        ("engine.type", "on", r"engine\.type is 'on'; use"),
        ("normalize.method", "null", r"normalize\.method: .*'null'"),
    ],
)
def test_what_is_no_value_is_named(key: str, typed: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(OPENAI, {key: typed})


def test_a_text_of_a_file_that_yaml_reads_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("engine: {type: fake}\nservice: {host: '::', name: on}\n")
    with pytest.raises(ConfigError, match=r"service\.name: .* \(got True\); put a text .* in quotes"):
        load_config(path)


@pytest.mark.parametrize(
    ("overrides", "key", "value"),
    [
        ({"service.host": "::"}, "service.host", "::"),
        ({"service.name": "on"}, "service.name", "on"),
        ({"sampling.k": 16}, "sampling.k", 16),
        ({"sampling.k": "16"}, "sampling.k", 16),
        ({"judge.template": None}, "judge.template", None),
        ({"judge.control_tokens": ["<a>", "::"]}, "judge.control_tokens", ("<a>", "::")),
        ({"engine": {"type": "openai", "model": "123", "base_url": "u"}}, "engine.model", "123"),
    ],
)
def test_overrides_from_the_environment(overrides: dict[str, Any], key: str, value: Any) -> None:
    environ = {"GRM_CONFIG": '{"engine": {"type": "fake"}}', "GRM_OVERRIDES": json.dumps(overrides)}
    config = read_environment(environ).config
    assert config is not None
    assert at(config.model_dump(), key) == value


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"GRM_OVERRIDES": '{"sampling.k": 1, "sampling.k": 2}'}, "GRM_OVERRIDES: the key 'sampling.k' stands twice"),
        ({"GRM_CONFIG": '{"engine": {"type": "fake", "type": "vllm"}}'}, "GRM_CONFIG: the key 'type' stands twice"),
        ({"GRM_OVERRIDES": '{"service.host": null}'}, r"service\.host: .*\(got None\)"),
        ({"GRM_OVERRIDES": '{"service.name": true}'}, r"service\.name: .*\(got True\)"),
    ],
)
def test_wrong_variables_are_named(variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_environment({"GRM_CONFIG": '{"engine": {"type": "fake"}}'} | variables)


class TestModels:
    """`owner/name` beside the file is a folder; elsewhere it is an id. Every key that names a model does the same."""

    KEYS = ("engine.model", "meta_rm.model", "conversation.tokenizer")

    @pytest.fixture
    def file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for folder in ("beside/models/x", "here/models/y", "beside/both", "here/both"):
            (tmp_path / folder).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "here")
        return tmp_path / "beside/config.yaml"

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize(
        ("named", "found"),
        [
            ("models/x", "beside/models/x"),
            ("models/x/", "beside/models/x"),
            ("both", "beside/both"),
            ("models/y", None),
            ("owner/name", None),
            ("./models/x", "beside/models/x"),
        ],
    )
    def test_in_a_file(self, file: Path, key: str, named: str, found: str | None) -> None:
        model, meta_rm, tokenizer = (named if key == each else "owner/other" for each in self.KEYS)
        file.write_text(
            f"engine: {{type: vllm, model: {model}}}\nmeta_rm: {{model: {meta_rm}}}\n"
            f"conversation: {{format: tokenizer, tokenizer: {tokenizer}}}\n"
        )
        expected = named if found is None else str(file.parents[1] / found)
        assert at(load_config(file).model_dump(), key) == expected

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize(
        ("typed", "found"),
        [
            ("models/y", "here/models/y"),
            ("both", "here/both"),
            ("models/x", "beside/models/x"),
            ("owner/name", None),
            ("./both", "here/both"),
            ("..", "."),
        ],
    )
    def test_in_an_override(self, file: Path, key: str, typed: str, found: str | None) -> None:
        file.write_text("engine: {type: vllm, model: a/b}\nmeta_rm: {model: a/b}\n")
        expected = typed if found is None else str(file.parents[1] / found)
        assert at(load_config(file, {key: typed}).model_dump(), key) == expected

    def test_the_name_that_a_server_offers_is_no_folder(self, file: Path) -> None:
        file.write_text("engine: {type: openai, model: both, base_url: http://h/v1}\n")
        assert at(load_config(file).model_dump(), "engine.model") == "both"
        assert at(load_config(file, {"engine.model": "models/y"}).model_dump(), "engine.model") == "models/y"

    @pytest.mark.parametrize("named", ["./models/y", "/nowhere", "''"])
    def test_what_must_be_a_folder(self, file: Path, named: str) -> None:
        file.write_text(f"engine: {{type: vllm, model: {named}}}\n")
        with pytest.raises(ConfigError, match=r"engine\.model: .*give an existing path or a Hugging Face id"):
            load_config(file)
