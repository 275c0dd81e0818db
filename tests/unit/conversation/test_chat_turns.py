"""Prompts and responses of published data sets, which are texts or lists of chat turns."""

from __future__ import annotations

from typing import Any

import pytest

from grm_plugin.conversation.chat_turns import exchange_of
from grm_plugin.conversation.messages import to_response
from grm_plugin.errors import WireError

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "trees"}'}}
SEEN = {"role": "tool", "tool_call_id": "c1", "content": "a plum"}
SHOWN = '[tool call look]\n{"at": "trees"}\n[end of tool call]'
USER, YES, NO = (
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "yes"},
    {"role": "assistant", "content": "no"},
)


SYSTEM, OTHER = {"role": "system", "content": "s"}, {"role": "user", "content": "r"}
ASKED = "[conversation item user]\nq\n[end of conversation item]"
SAID = {"role": "assistant", "content": None, "tool_calls": [CALL]}


@pytest.mark.parametrize(
    ("prompt", "responses", "roles", "texts"),
    [
        ("q", ["yes", "no"], "u", ("yes", "no")),
        ([USER], ["yes", "no"], "u", ("yes", "no")),
        ([USER], [[YES], [NO]], "u", ("yes", "no")),
        (None, [[USER, YES], [USER, NO]], "u", ("yes", "no")),
        ([USER], [[USER, YES], [USER, NO]], "u", ("yes", "no")),
        (None, [[USER, YES, USER, YES], [USER, YES, USER, NO]], "uau", ("yes", "no")),
        ([USER], [[SAID], [NO]], "u", (SHOWN, "no")),
        ([USER, SAID, SEEN], [[YES], [NO]], "uat", ("yes", "no")),
        ([USER], [[YES, USER, YES], [NO]], "u", (f"yes\n\n{ASKED}\n\nyes", "no")),
        (None, [[USER, YES], [USER, YES]], "u", ("yes", "yes")),
        ("q", [[USER, YES], [USER, NO]], "u", ("yes", "no")),
        ("q\n", [[USER, YES], [USER, NO]], "u", ("yes", "no")),
        ("q", [[SYSTEM, USER, YES], [SYSTEM, USER, NO]], "su", ("yes", "no")),
        ("q", [[USER, YES, OTHER, YES], [USER, YES, OTHER, NO]], "uau", ("yes", "no")),
        ("r", [[USER, YES, OTHER, YES], [USER, YES, OTHER, NO]], "uau", ("yes", "no")),
        ("q", ["yes", [NO]], "u", ("yes", "no")),
        (None, [[{"from": "human", "value": "q"}, {"from": "gpt", "value": "yes"}], [USER, NO]], "u", ("yes", "no")),
    ],
)
def test_prompts_and_responses_may_be_turns(prompt: Any, responses: Any, roles: str, texts: tuple[str, ...]) -> None:
    conversation, found = exchange_of(prompt, responses)
    assert "".join(turn.role[0] for turn in conversation) == roles
    assert found == texts


@pytest.mark.parametrize(
    ("prompt", "responses", "message"),
    [
        (None, [[YES], [NO]], "no prompt before them"),
        ("q", [[], [NO]], "no turn of their own"),
        ([], ["a", "b"], "no turn"),
        (5, ["a", "b"], "must be a text or a list of turns, not int"),
        ("q", ["a", 7], "not int"),
        ([{"role": "pilot", "content": "x"}], ["a", "b"], "a role out of"),
        ([{"role": "user"}], ["a", "b"], "must be text, got NoneType"),
    ],
)
def test_what_is_no_exchange_is_refused(prompt: Any, responses: Any, message: str) -> None:
    with pytest.raises(WireError, match=message):
        exchange_of(prompt, responses)


def test_what_a_policy_did_is_read_as_everywhere_else() -> None:
    did = [SAID, SEEN, YES]
    assert exchange_of("q", [did, [NO]])[1] == (to_response(did), "no")


def test_items_of_the_responses_api_are_turns() -> None:
    called = {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": "trees"}'}
    assert exchange_of("q", [[called], [NO]])[1] == (SHOWN, "no")
