"""Reads prompts and responses of published benchmarks, which are texts or lists of chat turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grm_plugin.conversation.messages import text_of, to_conversation
from grm_plugin.errors import PromptError, WireError
from grm_plugin.types import Conversation, Message

ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "system": "system"} | {
    "developer": "system",
    "tool": "tool",
    "function": "tool",
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

    A response is a text, or a list of turns that may repeat the turns of the prompt. Turns with which all responses
    begin become part of the conversation. Where several turns of a response are left, its text names their roles.

    Args:
        prompt: a text or a list of turns; None where the responses repeat it.
        responses: one or more.

    Raises:
        WireError: one of them is neither a text nor a list of turns, or a response has no turn of its own.
    """
    if all(isinstance(response, str) for response in responses):
        return conversation_of(prompt), tuple(map(text_of, responses))
    start = () if prompt is None else conversation_of(prompt)
    branches = [_after(start, _turns(response)) for response in responses]
    shared = _shared(branches)
    if not start + shared or not all(len(branch) > len(shared) for branch in branches):
        raise WireError("the responses hold no turn of their own, or there is no prompt before them")
    return start + branches[0][: len(shared)], tuple(_text(branch[len(shared) :]) for branch in branches)


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
    """The turn as a message, also where it has the names of ShareGPT."""
    role, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
    if not isinstance(role, str) or role not in ROLES:
        raise WireError(f"a turn needs a role out of {', '.join(ROLES)}, not {role!r}")
    message = {**turn, "role": ROLES[role], "content": content}
    if all(message.get(key) is None for key in _SPOKEN):
        raise WireError("a turn's content must be text, got NoneType")
    return message


def _after(start: Conversation, turns: Conversation) -> Conversation:
    return turns[len(start) :] if turns[: len(start)] == start else turns


def _shared(branches: Sequence[Conversation]) -> Conversation:
    shared = []
    for turns in zip(*(branch[:-1] for branch in branches), strict=False):
        if any(turn != turns[0] for turn in turns):
            break
        shared.append(turns[0])
    return tuple(shared)


def _text(turns: Conversation) -> str:
    if len(turns) == 1:
        return turns[0].content
    return "\n\n".join(f"[{turn.role}]\n{turn.content}" for turn in turns)
