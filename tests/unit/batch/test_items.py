"""Labelled items: our own files, and their errors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.batch.items import Item, item_from_json, read_items, write_items
from grm_plugin.errors import ConfigError, WireError
from grm_plugin.types import Message
from support.score_files import write_lines
from support.vote_factories import make_item

PAIR = {"prompt": "Which?", "responses": ["a", "b"], "best": 1}
SINGLE = {"prompt": "Right?", "responses": ["a"], "label": 0}


def test_a_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    items = [
        make_item("one"),
        make_item("two", label=1, subset="single"),
        Item("three", (Message("system", "s"), Message("user", "q")), ("a", "b", "c"), (0, 2), None, "", "ref", "rub"),
        Item("four", (Message("user", "é\n\u2028"),), ("a", "b"), (1,), meta={"strength": 3}),
    ]
    write_items(tmp_path / "items.jsonl", items)
    assert read_items(tmp_path / "items.jsonl") == items


CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "trees"}'}}
SEEN = {"role": "tool", "tool_call_id": "c1", "content": "a plum"}
SHOWN = ('[tool call look]\n{"at": "trees"}\n[end of tool call]', "[tool result look]\na plum\n[end of tool result]")


def test_calls_of_tools_are_read_and_an_item_with_them_is_stored_as_it_was_read(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "What?"}, {"role": "assistant", "tool_calls": [CALL]}, SEEN]
    said = [{"role": "assistant", "content": "A plum."}, [asked[1], SEEN, {"role": "assistant", "content": "A fig."}]]
    file = write_lines(tmp_path / "in.jsonl", {"id": "a", "messages": asked, "responses": said, "best": 0})
    [item] = read_items(file)
    assert [turn.content for turn in item.conversation] == ["What?", *SHOWN]
    assert item.responses == ("A plum.", "\n\n".join((*SHOWN, "A fig.")))
    assert item_from_json(item.to_json(), read_before=True) == item


@pytest.mark.parametrize("missing", [math.nan, None, "", " \n", [], {}, [None]])
def test_a_missing_reference_is_none(tmp_path: Path, missing: Any) -> None:
    """NaN is what Python's JSON writer makes of pandas' missing value."""
    [item] = read_items(write_lines(tmp_path / "in.jsonl", PAIR | {"reference": missing, "rubric": missing}))
    assert (item.reference, item.rubric) == (None, None)


def test_ids_may_be_left_out_and_depend_on_the_content(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "in.jsonl", PAIR, SINGLE | {"id": 7})
    first, second = read_items(file)
    assert len(first.id) == 16
    assert (second.id, second.label, second.best) == ("7", 0, ())


def test_ids_that_are_left_out_stay_the_same_from_version_to_version() -> None:
    """They are what a store of votes knows an item by."""
    rows = (PAIR, SINGLE | {"subset": "s", "meta": {"x": 1}})
    assert [item_from_json(row).id for row in rows] == ["eb12d7877bdf4384", "d612c1fc1e85eaf6"]
    assert item_from_json(PAIR | {"cluster": "c"}).id != item_from_json(PAIR).id


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Which?", "responses": ["a", "b"]}, "best is missing: name the best of the 2 responses"),
        (PAIR | {"best": 2}, r"best must be an index in 0\.\.1, not 2"),
        (PAIR | {"best": -1}, r"best must be an index in 0\.\.1, not -1"),
        (PAIR | {"best": [0, 1]}, "best names all responses"),
        (PAIR | {"best": [1, 1]}, "best names a response twice"),
        (PAIR | {"best": True}, "best"),
        (PAIR | {"best": 0.5}, "best"),
        (PAIR | {"label": 1}, "label is for a single response"),
        (PAIR | {"responses": ["a"]}, "best needs at least two responses"),
        (SINGLE | {"label": None}, "label is missing: an item with one response needs 1"),
        (SINGLE | {"label": 2}, "label must be 0 or 1, not 2"),
        (PAIR | {"winner": "a"}, "winner: Extra inputs are not permitted"),
        ({"responses": ["a", "b"], "best": 0}, "exactly one of messages and prompt"),
        ("[]", "Input should be an object"),
        ('{"prompt": "q"', "no JSON"),
        ('{"prompt": "q", "responses": ["a", "b"], "best": 0, "meta": {"x": NaN}}', "NaN is no JSON value"),
        ('{"prompt": "q", "responses": ["a", "b"], "best": 0, "reference": Infinity}', "Infinity is no JSON value"),
        ({"messages": ["hi"], "responses": ["a", "b"], "best": 0}, "messages.0: Input should be a valid dictionary"),
        (
            PAIR | {"responses": ["a", 7]},
            r"responses\.1: a response must be a text, a message or a list of messages, not int",
        ),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: Any, message: str) -> None:
    file = write_lines(tmp_path / "in.jsonl", PAIR, row)
    with pytest.raises(WireError, match=f"in.jsonl line 2: .*{message}"):
        read_items(file)


def test_ids_must_be_unique(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "in.jsonl", PAIR | {"id": "x"}, SINGLE | {"id": "x"})
    with pytest.raises(WireError, match="item 2 has the id 'x' of an earlier one"):
        read_items(file)


def test_an_empty_or_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no item"):
        read_items(write_lines(tmp_path / "in.jsonl"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_items(tmp_path / "none.jsonl")


def test_lone_surrogates_become_encodable(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text(json.dumps(PAIR | {"responses": ["\ud800", "b"]}) + "\n")
    assert read_items(file)[0].responses == ("\ufffd", "b")


@pytest.mark.parametrize(
    ("scores", "best", "right"),
    [
        ([2, 1], (0,), True),
        ([1, 1], (0,), False),
        ([1, 2], (0,), False),
        ([3, 1, 3], (0, 2), True),
        ([3, 2, 2], (0, 2), False),
    ],
)
def test_right_is_strictly_ahead(scores: list[float], best: tuple[int, ...], right: bool) -> None:
    responses = tuple("abc"[: len(scores)])
    assert Item("x", (Message("user", "q"),), responses, best).is_right(scores) is right
