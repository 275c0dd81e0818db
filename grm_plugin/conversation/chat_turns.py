"""Reads prompts and responses of published data sets, which are texts or lists of chat turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grm_plugin.conversation.messages import text_of, text_of_turns, to_conversation
from grm_plugin.errors import PromptError, WireError
from grm_plugin.types import Conversation, Message

ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "system": "system"} | {
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "environment": "tool",
}
_SPOKEN = ("content", "tool_calls", "function_call")


def conversation_of(prompt: Any) -> Conversation:
    """The conversation of a prompt, which is a text (one user turn) or a list of turns.

    Raises:
        WireError: the prompt is neither, or an empty list.
    """
    if isinstance(prompt, str):
        return (Message("user", text_of(prompt)),)
    turns = _turns(prompt)
    if not turns:
        raise WireError("the prompt has no turn")
    return turns


def exchange_of(prompt: Any, responses: Sequence[Any]) -> tuple[Conversation, tuple[str, ...]]:
    """The conversation, and the texts of the responses to it.

    A response is a text, or a list of turns that may repeat the turns of the prompt, and others before them. Turns
    with which all responses begin become part of the conversation. What is left of a response is read as
    `to_response` reads a list of messages.

    Args:
        prompt: a text or a list of turns; None where the responses repeat it.
        responses: one or more.

    Raises:
        WireError: one of them is neither a text nor a list of turns, or a response has no turn of its own.
    """
    if all(isinstance(response, str) for response in responses):
        return conversation_of(prompt), tuple(map(text_of, responses))
    start = () if prompt is None else conversation_of(prompt)
    given = [_turns(response) for response in responses]
    branches = [_after(start, turns) for turns in given]
    shared = _shared(branches)
    # A system turn, or earlier turns, may stand before the prompt that the responses repeat.
    repeats = branches == given and _same(shared[-len(start) :], start)
    conversation = shared if repeats else start + shared
    if not conversation or not all(len(branch) > len(shared) for branch in branches):
        raise WireError("the responses hold no turn of their own, or there is no prompt before them")
    return conversation, tuple(text_of_turns(branch[len(shared) :]) for branch in branches)


def _turns(value: Any) -> Conversation:
    if isinstance(value, str):
        return (Message("assistant", text_of(value)),)
    if not isinstance(value, Sequence) or not all(isinstance(turn, Mapping) for turn in value):
        raise WireError(f"a prompt or response must be a text or a list of turns, not {type(value).__name__}")
    try:
        return to_conversation([_message(turn) for turn in value]) if value else ()
    except PromptError as error:
        raise WireError(str(error)) from None


def _message(turn: Mapping[str, Any]) -> dict[str, Any]:
    """The turn as a message, also where it has the names of ShareGPT. Items of the responses API stay as they are."""
    if turn.get("type") and turn.get("role", turn.get("from")) is None:
        return dict(turn)
    role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if not isinstance(role, str) or role not in ROLES:
        raise WireError(f"a turn needs a role out of {', '.join(ROLES)}, not {role!r}")
    message = {**turn, "role": ROLES[role], "content": content}
    if all(message.get(key) is None for key in _SPOKEN):
        raise WireError("a turn's content must be text, got NoneType")
    return message


def _after(start: Conversation, turns: Conversation) -> Conversation:
    return turns[len(start) :] if _same(turns[: len(start)], start) else turns


def _same(turns: Conversation, others: Conversation) -> bool:
    """Whether they say the same. One column of a data set may have lost the blanks around a text that another has."""
    said, also_said = ([(turn.role, turn.content.strip()) for turn in each] for each in (turns, others))
    return said == also_said


def _shared(branches: Sequence[Conversation]) -> Conversation:
    shared = []
    for turns in zip(*(branch[:-1] for branch in branches), strict=False):
        if any(turn != turns[0] for turn in turns):
            break
        shared.append(turns[0])
    return tuple(shared)
