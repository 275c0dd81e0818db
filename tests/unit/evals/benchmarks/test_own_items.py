"""The suite of a user's own items: files of all kinds, folders, and preference data sets on the hub."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.errors import ConfigError, WireError
from grm_plugin.evals.benchmarks.own_items import REPEATED
from grm_plugin.evals.benchmarks.suites import load_items
from support.score_files import write_lines

USER = {"role": "user", "content": "Which?"}
LIST: dict[str, Any] = {"id": "l", "prompt": "Which?", "responses": ["a", "b", "c"], "best": 1}
TEXTS = {"id": "t", "prompt": "Which?", "chosen": "good", "rejected": "bad"}
TURNS = {
    "id": "m",
    "chosen": [USER, {"role": "assistant", "content": "fine"}],
    "rejected": [USER, {"role": "assistant", "content": "poor"}],
}
ROWS = [LIST, TEXTS, TURNS]


@pytest.fixture
def as_lines(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "in.jsonl", *ROWS)


@pytest.mark.parametrize("name", ["in.json", "in.txt", "folder/in.json", "folder/in.jsonl"])
def test_the_same_rows_in_files_of_other_kinds(tmp_path: Path, as_lines: Path, name: str) -> None:
    other = tmp_path / "other" / name
    other.parent.mkdir(parents=True)
    if name == "in.json":
        other.write_text(json.dumps(ROWS))
    else:
        write_lines(other, *ROWS)
    data = other.parent if "folder" in name else other
    assert load_items("jsonl", data).items == load_items("jsonl", as_lines).items


def test_parquet_has_every_column_in_every_row(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        TURNS | {"subset": "s", "score": None},
        {"id": "n", **{key: TURNS[key] for key in ("chosen", "rejected")}, "score": 0.5},
    ]
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "in.parquet")
    first, second = load_items("jsonl", tmp_path / "in.parquet").items
    assert (first.responses, first.best, first.subset, first.meta) == (("fine", "poor"), (0,), "s", {})
    assert (second.id, second.meta) == ("n", {"score": 0.5})
    lists = [LIST | {"label": None, "subset": None}]
    parquet.write_table(arrow.Table.from_pylist(lists), tmp_path / "in.parquet")
    assert (
        load_items("jsonl", tmp_path / "in.parquet").items
        == load_items("jsonl", write_lines(tmp_path / "l.jsonl", LIST)).items
    )


def test_bytes_and_dates_in_further_columns_are_kept_as_texts(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    row = {key: value for key, value in TEXTS.items() if key != "id"}
    further = [{"image": {"bytes": bytes([255, number])}, "at": datetime(2025, 1, 2)} for number in (0, 1)]
    parquet.write_table(arrow.Table.from_pylist([row | each for each in further]), tmp_path / "in.parquet")
    first, second = load_items("jsonl", tmp_path / "in.parquet").items
    assert first.id != second.id
    assert first.meta["image"]["bytes"].startswith("2 bytes, SHA-256 ")
    assert first.meta["at"].startswith("2025-01-02")
    parquet.write_table(arrow.Table.from_pylist([row | {"meta": further[0]}]), tmp_path / "in.parquet")
    with pytest.raises(WireError, match=r"in.parquet row 1: meta: .*JSON values only"):
        load_items("jsonl", tmp_path / "in.parquet")


def test_published_sets_repeat_rows_and_have_rows_without_a_choice(tmp_path: Path) -> None:
    unnamed = {key: value for key, value in TEXTS.items() if key != "id"}
    same = unnamed | {"rejected": "good"}
    (tmp_path / "in.json").write_text(json.dumps([unnamed, same, unnamed, unnamed | {"prompt": "Who?"}]))
    found = load_items("jsonl", tmp_path / "in.json")
    assert [item.conversation[0].content for item in found.items] == ["Which?", "Who?"]
    assert found.left_out == {"identical": 1, REPEATED: 1}
    assert found.remarks == ["left out: 1 identical", f"left out: 1 {REPEATED}"]


def test_in_a_users_own_file_they_are_errors(tmp_path: Path) -> None:
    with pytest.raises(WireError, match=r"in.jsonl line 2: labels that contradict each other"):
        load_items("jsonl", write_lines(tmp_path / "in.jsonl", LIST, TEXTS | {"rejected": "good"}))
    with pytest.raises(WireError, match="ids must be unique"):
        load_items("jsonl", write_lines(tmp_path / "in.jsonl", TEXTS, TEXTS))


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps([LIST, TEXTS | {"rejected": 5}]))
    with pytest.raises(WireError, match=r"in.json row 2: rejected must be a text"):
        load_items("jsonl", tmp_path / "in.json")
    (tmp_path / "in.json").write_text(json.dumps([LIST, LIST]))
    with pytest.raises(WireError, match=r"in.json: item 2 has the id 'l' of an earlier one"):
        load_items("jsonl", tmp_path / "in.json")


@pytest.mark.parametrize("name", ["none/in.jsonl", "none/in.parquet", "no such file"])
def test_a_wrong_path_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(ConfigError, match=f"--data {name} does not exist; give a file, a folder, or a Hugging Face id"):
        load_items("jsonl", name)


class TestHub:
    """A copy of the library's own, in place of the network: `datasets.load_dataset` reads a local folder as well."""

    @pytest.fixture(autouse=True)
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        datasets = pytest.importorskip("datasets")
        (tmp_path / "owner" / "name").mkdir(parents=True)
        for split, text in (("train", "good"), ("test", "best")):
            write_lines(tmp_path / "owner" / "name" / f"{split}.jsonl", TEXTS | {"id": split, "chosen": text})

        def load_dataset(name: str, config: str | None) -> Any:
            files = {split: str(tmp_path / name / f"{split}.jsonl") for split in ("train", "test")}
            return load("json", data_files=files, cache_dir=str(tmp_path / "cache"))

        load = datasets.load_dataset
        monkeypatch.setattr(datasets, "load_dataset", load_dataset)
        monkeypatch.chdir(tmp_path / "owner")

    def test_all_splits_or_one(self) -> None:
        assert [item.id for item in load_items("jsonl", "owner/name").items] == ["test", "train"]
        (item,) = load_items("jsonl", "owner/name:test").items
        assert item.responses == ("best", "bad")

    def test_a_split_that_there_is_not(self) -> None:
        with pytest.raises(ConfigError, match="owner/name has no split 'dev'; it has test, train"):
            load_items("jsonl", "owner/name:dev")
