"""The forms in which a program gives a prompt and its responses."""

from __future__ import annotations

from typing import Any

import pytest

from grm_plugin.errors import WireError
from grm_plugin.types import Criterion, Group, Message
from grm_plugin.wire.group_forms import group_of, to_wire, to_wires
from grm_plugin.wire.schemas import WireGroup

TURN = {"role": "user", "content": "Which?"}
WANTED = WireGroup(messages=[TURN], responses=["a", "b"])


@pytest.mark.parametrize(
    "form",
    [
        WANTED,
        Group((Message("user", "Which?"),), ("a", "b")),
        {"messages": [TURN], "responses": ["a", "b"]},
        ([TURN], ["a", "b"]),
        (TURN, ("a", "b")),
        ((Message("user", "Which?"),), ["a", "b"]),
        (Message("user", "Which?"), ["a", "b"]),
        ([("user", "Which?")], ["a", "b"]),
        (("user", "Which?"), iter(["a", "b"])),
    ],
    ids=lambda form: type(form).__name__,
)
def test_messages_come_in_every_form(form: Any) -> None:
    assert to_wires([form]) == [WANTED]


@pytest.mark.parametrize("form", [("Which?", ["a"]), {"prompt": "Which?", "responses": ["a"]}])
def test_a_text_is_a_prompt_as_the_policy_saw_it(form: Any) -> None:
    assert to_wire(form) == WireGroup(prompt="Which?", responses=["a"])


def test_a_response_may_be_messages() -> None:
    said = {"role": "assistant", "content": "a"}
    assert group_of("Which?", [said, [said, said]]).responses == [said, [said, said]]


def test_labels_belong_to_the_prompt() -> None:
    criteria = [{"name": "short", "text": "It is short."}]
    group = group_of("Which?", ["a"], reference="b", rubric="c", criteria=criteria, source="d")
    assert (group.reference, group.rubric, group.source) == ("b", "c", "d")
    assert group.criteria == (Criterion("short", "It is short."),)


def test_a_group_keeps_what_it_has() -> None:
    criteria = (Criterion("short", "It is short.", 2.0, "must"),)
    wire = to_wire(Group((Message("user", "Which?"),), ("a",), "b", "c", criteria, "d"))
    assert (wire.reference, wire.rubric, wire.criteria, wire.source) == ("b", "c", criteria, "d")


def test_lone_surrogates_are_replaced() -> None:
    assert group_of("caf\ud800", ["\udfff"]) == WireGroup(prompt="caf\ufffd", responses=["\ufffd"])


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (("Which?", "a"), "responses is one text: give a list of them"),
        (("Which?", 3), "responses is int: give a list"),
        (("Which?", {"a": 1}), "responses is dict"),
        (("Which?", []), "responses: List should have at least 1"),
        (("Which?", [7]), "responses.0: Value error, a response must be a text"),
        ((7, ["a"]), "the prompt is int: give a text, or messages"),
        (([7], ["a"]), "messages.0: "),
        (([], ["a"]), "messages: "),
        (([("king", "Which?")], ["a"]), "messages.0: .*king"),
        ("Which?", "a group cannot be one text: give .prompt, responses., a Group, or a dict"),
        (("a", "b", "c"), "a group cannot be tuple of 3"),
        ({"prompt": "Which?"}, "responses: Field required"),
        ({"prompt": "Which?", "response": ["a"]}, "response: Extra inputs"),
        ({"responses": ["a"]}, "give exactly one of messages and prompt"),
        (None, "a group cannot be NoneType"),
    ],
)
def test_what_is_no_group_is_refused_by_its_field(form: Any, said: str) -> None:
    with pytest.raises(WireError, match=said):
        to_wire(form)


@pytest.mark.parametrize("groups", ["Which?", {"prompt": "Which?", "responses": ["a"]}, WANTED, 7])
def test_one_group_is_no_list_of_them(groups: Any) -> None:
    with pytest.raises(WireError, match="give a prompt and its responses, or a list of groups"):
        to_wires(groups)


def test_labels_beside_groups_belong_to_none_of_them() -> None:
    with pytest.raises(WireError, match="reference beside groups"):
        to_wires([WANTED], reference="b")
