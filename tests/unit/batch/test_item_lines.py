"""Lines with `chosen` and `rejected`, as preference data sets have them, and prompts that are lists of messages."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any

import pytest

from grm_plugin.batch.items import Item, item_from_json, read_items
from grm_plugin.errors import WireError
from grm_plugin.types import Message
from support.score_files import write_lines

USER = {"role": "user", "content": "Which?"}
GOOD, BAD, OTHER = ({"role": "assistant", "content": text} for text in ("good", "bad", "other"))
PREFERENCE = {"prompt": "Which?", "chosen": "good", "rejected": "bad"}
Q = (Message("user", "Which?"),)


@pytest.mark.parametrize(
    ("row", "responses", "best"),
    [
        (PREFERENCE, ("good", "bad"), (0,)),
        (PREFERENCE | {"prompt": [USER]}, ("good", "bad"), (0,)),
        ({"messages": [USER], "chosen": "good", "rejected": "bad"}, ("good", "bad"), (0,)),
        (PREFERENCE | {"chosen": [GOOD], "rejected": [BAD]}, ("good", "bad"), (0,)),
        (PREFERENCE | {"chosen": GOOD, "rejected": "bad"}, ("good", "bad"), (0,)),
        (PREFERENCE | {"chosen": [USER, GOOD], "rejected": [USER, BAD]}, ("good", "bad"), (0,)),
        ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, ("good", "bad"), (0,)),
        ({"prompt": None, "chosen": [USER, GOOD], "rejected": [USER, BAD]}, ("good", "bad"), (0,)),
        (PREFERENCE | {"chosen": ["good", "fine"], "rejected": ["bad"]}, ("good", "fine", "bad"), (0, 1)),
        (PREFERENCE | {"rejected": ["bad", "worse"]}, ("good", "bad", "worse"), (0,)),
        (PREFERENCE | {"chosen": [[GOOD], "fine"], "rejected": [[BAD]]}, ("good", "fine", "bad"), (0, 1)),
        (
            PREFERENCE | {"chosen": [USER, GOOD], "rejected": [USER, BAD], "messages": [USER, GOOD]},
            ("good", "bad"),
            (0,),
        ),
    ],
)
def test_chosen_and_rejected(row: dict[str, Any], responses: tuple[str, ...], best: tuple[int, ...]) -> None:
    item = item_from_json(row | {"id": 7})
    assert item == Item("7", Q, responses, best)
    assert item_from_json(item.to_json(), read_before=True) == item


def test_all_turns_before_the_last_ones_are_the_conversation() -> None:
    system = {"role": "system", "content": "Be brief."}
    row = {"chosen": [system, USER, OTHER, USER, GOOD], "rejected": [system, USER, OTHER, USER, BAD]}
    item = item_from_json(row)
    assert [turn.role for turn in item.conversation] == ["system", "user", "assistant", "user"]
    assert item.responses == ("good", "bad")


def test_a_preference_reads_as_the_same_responses_do() -> None:
    said = [{"role": "assistant", "content": "<think>hm</think>good"}, {"role": "user", "content": "Sure?"}, GOOD]
    as_list = item_from_json({"prompt": [USER], "responses": [said, "bad"], "best": 0, "id": 1})
    assert item_from_json({"prompt": [USER], "chosen": said, "rejected": "bad", "id": 1}) == as_list


def test_further_columns_are_kept_in_meta() -> None:
    row = PREFERENCE | {
        "reference": "r",
        "subset": "s",
        "cluster": "c",
        "meta": {"a": 1},
        "score_chosen": 8.5,
        "margin": math.nan,
        "when": datetime.date(2024, 1, 2),
        "note": None,
    }
    item = item_from_json(row)
    assert (item.reference, item.subset, item.cluster) == ("r", "s", "c")
    assert item.meta == {"a": 1, "score_chosen": 8.5, "margin": None, "when": "2024-01-02"}


def test_without_an_id_it_depends_on_the_content() -> None:
    rows = (PREFERENCE, PREFERENCE | {"rejected": "worse"}, PREFERENCE | {"source": "x"})
    assert len({item_from_json(row).id for row in rows}) == 3
    assert item_from_json(PREFERENCE).id == item_from_json(PREFERENCE | {"note": None}).id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rejected": None}, "rejected is missing: chosen and rejected come together"),
        ({"chosen": None}, "chosen is missing"),
        ({"responses": ["a", "b"]}, "chosen and rejected say which response is better: leave responses out"),
        ({"best": 0, "label": 1}, "leave best, label out"),
        ({"rejected": "good"}, "labels that contradict each other: one text is both chosen and rejected"),
        ({"chosen": ["good", "bad"]}, "labels that contradict each other"),
        ({"chosen": [USER, GOOD], "rejected": [USER, GOOD]}, "labels that contradict each other"),
        ({"chosen": []}, "chosen is empty"),
        ({"rejected": []}, "rejected is empty"),
        ({"rejected": [[]]}, "rejected: .*no turn of their own"),
        ({"rejected": 7}, "rejected must be a text, a list of messages or a list of texts, not int"),
        ({"rejected": [7]}, "rejected: .*not int"),
        ({"chosen": [GOOD, "fine"]}, "chosen mixes messages with texts"),
        ({"chosen": [{"role": "pilot", "content": "x"}]}, "chosen: a turn needs a role out of"),
        ({"prompt": None}, "prompt is missing: chosen and rejected are texts"),
        ({"prompt": 5}, "prompt: .*not int"),
        ({"prompt": []}, "prompt: the prompt has no turn"),
        ({"prompt": None, "messages": [{"role": "pilot"}]}, "messages: a turn needs a role"),
        ({"messages": [USER]}, "exactly one of messages and prompt"),
        ({"subset": 5}, "subset: Input should be a valid string"),
        ({"id": 1.5}, "id"),
        ({"meta": "x"}, "meta: Input should be a valid dictionary"),
    ],
)
def test_a_bad_preference_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    file = write_lines(tmp_path / "in.jsonl", PREFERENCE, PREFERENCE | change)
    with pytest.raises(WireError, match=f"in.jsonl line 2: .*{message}"):
        read_items(file)


def test_the_prompt_of_any_line_may_be_messages() -> None:
    row = {"prompt": [{"role": "system", "content": "s"}, USER], "responses": ["a", "b"], "best": 1, "id": "x"}
    as_messages = {"messages": row["prompt"], **{key: value for key, value in row.items() if key != "prompt"}}
    assert item_from_json(row) == item_from_json(as_messages)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (["hi"], "^prompt.0: Input should be a valid dictionary"),
        ([{"role": "pilot", "content": "x"}], "^prompt.0: a message has the role 'pilot'"),
        ([], "^prompt: List should have at least 1 item"),
    ],
)
def test_an_error_in_it_has_its_name(prompt: list[Any], message: str) -> None:
    with pytest.raises(WireError, match=message):
        item_from_json({"prompt": prompt, "responses": ["a", "b"], "best": 1})


def test_messages_and_a_prompt_of_messages_are_one_too_many() -> None:
    with pytest.raises(WireError, match="it must be a text: give messages in the field messages"):
        item_from_json({"prompt": [USER], "messages": [USER], "responses": ["a", "b"], "best": 1})
