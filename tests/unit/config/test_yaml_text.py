"""No key of a configuration is lost because it stands twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from grm_plugin.config.loading import load_config
from grm_plugin.config.yaml_text import parse_yaml
from grm_plugin.errors import ConfigError

FAKE = "engine: {type: fake}\n"


def error_of(folder: Path, text: str) -> str:
    """What is said of a configuration with this text behind the engine."""
    path = folder / "config.yaml"
    path.write_text(FAKE + text)
    with pytest.raises(ConfigError) as error:
        load_config(path)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "normalize: {method: group}\nsampling: {k: 2}\nnormalize: {clip: null}\n",
            "normalize stands twice, on lines 2 and 4: keep one",
        ),
        ("sampling:\n  k: 32\n  top_p: 1\n  k: 2\n", "sampling.k stands twice, on lines 3 and 5: keep one"),
        ("sampling: {k: 32, k: 2}\n", "sampling.k stands twice on line 2: keep one"),
        ("sampling: {k: 8, k: 8}\n", "sampling.k stands twice on line 2: keep one"),
        ('sampling:\n  k: 32\n  "k": 2\n', "sampling.k stands twice, on lines 3 and 4"),
        (
            "sampling:\n  adaptive: {flip: 0.1,\n    flip: 0.2}\n",
            "sampling.adaptive.flip stands twice, on lines 3 and 4",
        ),
        ("sampling:\n  k: 1\n  k: 2\n  k: 3\n", "sampling.k stands 3 times, on lines 3, 4 and 5"),
        ("engine: {type: fake}\n", "engine stands twice, on lines 1 and 2"),
        ("meta_rm: {model: a/b, engine_args: {list: [{a: 1}, {b: 1, b: 2}]}}\n", "meta_rm.engine_args.list.1.b stands"),
        ("sampling: &s {k: 1, k: 2}\njudge: *s\n", "sampling.k stands twice on line 2"),
        ("judge: {list_size: 4}\nsampling: {k: 1, k: 2}\njudge: {list_size: 2}\n", "; sampling.k stands twice"),
        ("sampling:\n  <<: {k: 1}\n  <<: {k: 2}\n", "sampling.<< stands twice, on lines 3 and 4"),
    ],
)
def test_a_key_that_stands_twice_is_an_error_with_its_lines(tmp_path: Path, text: str, message: str) -> None:
    error = error_of(tmp_path, text)
    assert error.startswith(f"{tmp_path / 'config.yaml'}: ")
    assert message in error


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a {k: 1, z: 2}\nb: {<<: *a, k: 3}\n", {"a": {"k": 1, "z": 2}, "b": {"k": 3, "z": 2}}),
        ("a: &a {k: 1}\nb: &b {<<: *a, k: 3}\nc: {<<: *b, k: 4}\n", {"a": {"k": 1}, "b": {"k": 3}, "c": {"k": 4}}),
        ("a: &a {k: 1}\nb: &b {k: 2, m: 3}\nc: {<<: [*a, *b]}\n", None),
        ("a: &a {k: 1}\nb: *a\nc: [*a, *a]\n", None),
        ("a: &a [*a]\n", None),
        ("'1': a\n1: b\n", {"1": "a", 1: "b"}),
        ("", None),
        ("# nothing\n", None),
    ],
)
def test_all_else_is_read_as_always(text: str, value: object) -> None:
    found = parse_yaml(text)
    assert value is None or found == value


def test_an_override_has_no_key_twice_either() -> None:
    with pytest.raises(ConfigError, match=r"--grm\.sampling: k stands twice on line 1"):
        load_config({"engine": {"type": "fake"}}, {"sampling": "{k: 1, k: 2}"})


def test_what_is_nested_too_deeply_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("engine: " + "[" * 100_000)
    with pytest.raises(ConfigError, match="cannot be read as YAML: it is nested too deeply"):
        load_config(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (FAKE.encode("utf-16"), "the file is UTF-16: save it as UTF-8"),
        (FAKE.encode("utf-16-be"), "the file is UTF-16: save it as UTF-8"),
        (FAKE.encode("utf-32"), "the file is UTF-32: save it as UTF-8"),
        (FAKE.encode() + "# fär\n".encode("latin-1"), r"byte 0xe4 at offset 24 \(line 2\) is not UTF-8: save the file"),
    ],
)
def test_another_encoding_is_told_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_byte_order_mark_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("engine: {type: openai, model: ä, base_url: http://h/v1}", encoding="utf-8-sig")
    assert load_config(path).model_dump()["engine"]["model"] == "ä"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sampling:\n\tk: 2\n", "line 3, column 1: found character"),
        ("sampling: {k: 2\n", "but got '<stream end>' (while parsing a flow mapping)"),
        ("---\nsampling: {k: 2}\n", "but found another document"),
        ("? [a, b]\n: 1\n", "line 2, column 3: found unhashable key"),
        ("sampling: !!python/name:os.system {k: 2}\n", "line 2, column 11: could not determine a constructor"),
        ("sampling:\n  <<: 3\n", "expected a mapping or list of mappings for merging"),
        ("\0", "unacceptable character #x0000"),
        ("sampling: *nowhere\n", "line 2, column 11: found undefined alias"),
    ],
)
def test_what_is_no_yaml_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    error = error_of(tmp_path, text)
    assert message in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1: 2\n", "1: a key must be a text"),
        ("~: 2\n", "None: a key must be a text"),
        ("sampling: {yes: 2}\n", "a key must be a text"),
        (
            "meta_rm: {model: a/b, chat_template_kwargs: {1: 2}}\n",
            "meta_rm.chat_template_kwargs.1: a key must be a text",
        ),
        ("meta_rm: {model: a/b, chat_template_kwargs: [a]}\n", "chat_template_kwargs must be a mapping, as in {name: "),
        ("judge: {control_tokens: <a>}\n", "judge.control_tokens must be a list, as in [a, b] (got '<a>')"),
        (
            "sampling: {k: yes}\n",
            "sampling.k: Input should be a valid integer, unable to parse string as an integer (got 'true')",
        ),
        ("sampling: {seed: off}\n", "sampling.seed: Input should be a valid integer"),
        ("failure: {deadline_s: true}\n", "failure.deadline_s: Input should be a valid number"),
        ("normalize: {method: group, clip: on}\n", "normalize.clip: Input should be a valid number"),
    ],
)
def test_values_and_keys_of_another_kind_are_told_in_the_words_of_yaml(tmp_path: Path, text: str, message: str) -> None:
    assert message in error_of(tmp_path, text)


def test_truth_values_stay_where_they_are_meant(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(FAKE + "judge: {use_reference: no}\nmeta_rm: {model: a/b, engine_args: {enforce_eager: yes}}\n")
    config = load_config(path)
    assert config.judge.use_reference is False
    assert config.meta_rm is not None
    assert config.meta_rm.model_dump()["engine_args"] == {"enforce_eager": True}


def test_an_engine_that_is_left_empty_is_no_section(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("engine:\n")
    with pytest.raises(ConfigError, match=r"engine must be a section \(`engine: \{\.\.\.\}`\), not None"):
        load_config(path)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/v1", "http://[::1/v1", "http://host:port/v1"])
def test_an_address_of_a_server_that_cannot_be_is_told_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match=r"engine\.base_url: .* is no address \(.*give http://HOST:PORT/v1"):
        load_config({"engine": {"type": "openai", "model": "grm", "base_url": url}})
