"""Reads chat messages and labels, as frameworks have them, as the plain text that the GRM is shown.

Takes the message dicts of OpenAI's chat and responses APIs, which TRL, slime, NeMo-RL and NeMo-Gym all use.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from grm_plugin._util.text import encodable
from grm_plugin.errors import PromptError
from grm_plugin.types import Conversation, Message

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
    "environment": "tool",
}
_TEXT_PARTS = ("text", "input_text", "output_text")


def to_conversation(messages: Iterable[Mapping[str, Any]]) -> Conversation:
    """The turns of a chat, with text only.

    Raises:
        PromptError: there is no turn, a role is none of the known ones, or a message holds more than text.
    """
    turns = tuple(Message(_role(message), text_of(message.get("content"))) for message in messages)
    if not turns:
        raise PromptError("the prompt has no message; give at least one user turn")
    return turns


def text_of(content: object) -> str:
    """The text of one message's content: a string, None (a turn of tool calls only), or a list of text parts.

    Raises:
        PromptError: there is an image, a sound or a file in it.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return encodable(content)
    if not isinstance(content, list | tuple):
        raise PromptError(f"a message's content must be text or a list of parts, not {type(content).__name__}")
    return "".join(_part_text(part) for part in content)


def as_reference(label: object) -> str | None:
    """A dataset's label as a reference answer: JSON where it is no text, None where it is absent or empty."""
    if label is None or label == "":
        return None
    return encodable(label) if isinstance(label, str) else json.dumps(label, ensure_ascii=False, default=str)


def _role(message: Mapping[str, Any]) -> str:
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise PromptError(f"a message has the role {str(role)[:20]!r}; use one of {', '.join(_ROLES)}")
    return _ROLES[role]


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return encodable(part)
    kind = part.get("type", "text") if isinstance(part, Mapping) else type(part).__name__
    if not isinstance(part, Mapping) or kind not in _TEXT_PARTS:
        raise PromptError(f"message parts of type {str(kind)[:20]!r} are not supported: the GRM reads text only")
    return encodable(str(part.get("text") or ""))
