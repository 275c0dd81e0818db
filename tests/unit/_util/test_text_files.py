"""Every text file that a user gives may begin with a byte order mark; another encoding is told by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grm_plugin._util.json_values import RepeatedKey, parse_json
from grm_plugin.attacks.pairs import read_pairs
from grm_plugin.batch.items import read_items
from grm_plugin.cli.app import app
from grm_plugin.errors import ConfigError, GRMError, PromptError
from grm_plugin.evals.benchmarks.rows import read_benchmark_rows
from grm_plugin.score.input_groups import read_groups
from grm_plugin.spct.instruction_data import read_general
from grm_plugin.spct.training_prompts import TrainingPrompts
from support.factories import make_config

GROUP = {"prompt": "Größe?", "responses": ["a", "b"], "id": "x"}
ITEM = {**GROUP, "best": 0}
READERS: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "score": (lambda path: list(read_groups(path)), GROUP),
    "items": (read_items, ITEM),
    "attack": (read_pairs, {"prompt": "Größe?", "good": "a", "weak": "b"}),
    "benchmark": (lambda path: list(read_benchmark_rows(path, ())), ITEM),
    "general": (lambda path: list(read_general(path)), {"prompt": "Größe?", "response": "a"}),
}

reader = pytest.mark.parametrize(("read", "row"), READERS.values(), ids=READERS)


def text_of(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


@reader
def test_a_byte_order_mark_is_left_out(tmp_path: Path, read: Callable[[Path], Any], row: dict[str, Any]) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(text_of(row), encoding="utf-8-sig")
    with_mark = read(path)
    path.write_text(text_of(row), encoding="utf-8")
    assert with_mark == read(path)


@reader
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_another_encoding_is_told_by_its_name(
    tmp_path: Path, read: Callable[[Path], Any], row: dict[str, Any], encoding: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(f"\n{text_of(row)}".encode(encoding))
    name = encoding[:6].upper()
    with pytest.raises(ConfigError, match=rf"in\.jsonl cannot be read: the file is {name}: save it as UTF-8$"):
        read(path)


@reader
def test_a_wrong_byte_is_told_with_its_line(tmp_path: Path, read: Callable[[Path], Any], row: dict[str, Any]) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n" + text_of(row).encode("latin-1"))
    with pytest.raises(GRMError, match=r"line 2: byte 0xf6 at offset 14 is not UTF-8: save the file as UTF-8"):
        read(path)


@reader
def test_a_key_that_stands_twice_is_told_with_its_line(
    tmp_path: Path, read: Callable[[Path], Any], row: dict[str, Any]
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(text_of(row)[:-2] + ', "prompt": "Another?"}\n')
    with pytest.raises(GRMError, match="line 1: the key 'prompt' stands twice: keep one"):
        read(path)


def test_no_bad_line_is_left_out_of_a_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(text_of(GROUP).encode("utf-16"))
    (tmp_path / "config.yaml").write_text("engine: {type: fake}\n")
    words = ["score", "in.jsonl", "-c", "config.yaml", "-o", "out.jsonl", "--skip-bad"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, ConfigError)
    assert str(refused.exception) == "in.jsonl cannot be read: the file is UTF-16: save it as UTF-8"
    assert not (tmp_path / "out.jsonl").exists()


def test_a_whole_file_of_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([ITEM], ensure_ascii=False), encoding="utf-8-sig")
    assert [dict(row.values) for row in read_benchmark_rows(path, ())] == [ITEM]
    path.write_bytes(json.dumps([ITEM]).encode("utf-16"))
    with pytest.raises(ConfigError, match="the file is UTF-16"):
        list(read_benchmark_rows(path, ()))
    path.write_text('[{"a": 1, "a": 2}]')
    with pytest.raises(GRMError, match=r"rows\.json: the key 'a' stands twice"):
        list(read_benchmark_rows(path, ()))


def test_a_hint_template(tmp_path: Path) -> None:
    path = tmp_path / "hint.txt"
    path.write_text("{{ prompt }}\nThe best is {{ best }}{{ label }}.", encoding="utf-8-sig")
    with_mark = TrainingPrompts(make_config(), hint=path).digest
    path.write_text("{{ prompt }}\nThe best is {{ best }}{{ label }}.", encoding="utf-8")
    assert TrainingPrompts(make_config(), hint=path).digest == with_mark
    path.write_bytes("{{ prompt }}".encode("utf-16"))
    with pytest.raises(PromptError, match=r"hint template .*hint\.txt: the file is UTF-16: save it as UTF-8"):
        TrainingPrompts(make_config(), hint=path)


@pytest.mark.parametrize("text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]'])
def test_json_with_a_key_twice(text: str) -> None:
    with pytest.raises(RepeatedKey, match="the key 'a' stands twice: keep one"):
        parse_json(text)


def test_json_that_is_nested_too_deeply() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 200_000)
