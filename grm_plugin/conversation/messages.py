"""Reads what frameworks hold of a conversation, and a response to it, as the text that the GRM is shown.

It takes the messages of OpenAI's chat API and the items of its responses API, which TRL, verl, slime, NeMo-RL and
NeMo-Gym all use. Calls of tools, their results, reasoning, and items of any other kind stand in fences, which no text
can forge (`_util.fences`). Nothing is cut here: that is for `judging.cutting`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from typing import Any

from grm_plugin._util.fences import REASONING, broken_up, fenced, parts_of
from grm_plugin._util.reasoning import split_reasoning, with_opening
from grm_plugin._util.text import encodable, shows_nothing
from grm_plugin.conversation.labels import is_missing
from grm_plugin.conversation.media import refuse_media, refuse_media_fields, unsupported
from grm_plugin.conversation.plain_json import json_text, plain
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
_TEXT_PARTS = ("text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal")
_THOUGHT_FIELDS = ("reasoning_content", "reasoning", "thinking")
_CALLS = {"function_call": "arguments", "custom_tool_call": "input", "tool_call": "arguments", "tool_use": "input"}
"""Kinds of items and parts that call a tool, with the field of what it is given."""
_RESULTS = {"function_call_output": "output", "custom_tool_call_output": "output", "tool_result": "content"}
_CALL_FIELDS = ("arguments", "input", "parameters", "args")
_CALL_IDS = ("id", "call_id")
_RESULT_IDS = ("tool_call_id", "call_id", "tool_use_id")
_ERROR_FIELDS = ("error", "is_error")
_NOT_SHOWN = ("type", "role", "name", "id", "index", "status", "namespace", *_CALL_IDS, *_RESULT_IDS)
"""Fields of a call or a result that say nothing where none of the known ones holds what it is about."""


def to_conversation(messages: object) -> Conversation:
    """The turns of a chat.

    Raises:
        PromptError: it is no list of messages, there is none, a role is none of the known ones, or a message holds more
            than text.
    """
    items = plain(messages)
    if isinstance(items, dict):
        raise PromptError("the prompt is one message: give a list of messages, with this one in it")
    if not isinstance(items, list):
        raise PromptError(f"the prompt must be a list of messages, not {type(items).__name__}")
    turns = tuple(_Reader().turns(items))
    if not turns:
        raise PromptError("the prompt has no message; give at least one user turn")
    return turns


def readable(messages: object) -> list[dict[str, Any]]:
    """The messages as plain JSON values, to be sent to the service, which reads them.

    Raises:
        PromptError: as `to_conversation`.
    """
    to_conversation(messages)
    sent: list[dict[str, Any]] = plain(messages)
    return sent


def to_response(response: object, prompt: str = "") -> str:
    """A response, which is a text, a message, or a list of messages or items: what the policy did, and tools answered.

    Args:
        response: as the framework holds it.
        prompt: the text that the policy was prompted with, where the response is a text too: if it ends in an opened
            `<think>`, the response begins with it.

    Raises:
        PromptError: it is none of these, or holds more than text.
    """
    response = plain(response)
    if isinstance(response, str):
        text = broken_up(encodable(response))
        return text if shows_nothing(text) else with_opening(prompt, text)
    items = [response] if isinstance(response, dict) else response
    if not isinstance(items, list):
        raise PromptError(f"a response must be a text, a message or a list of messages, not {type(items).__name__}")
    return text_of_turns(_Reader().turns(items))


def text_of_turns(turns: Iterable[Message]) -> str:
    """The text of a response that is made of these turns. What neither the assistant nor a tool said stands in a fence
    that tells who did."""
    return "\n\n".join(_as_part_of_response(turn) for turn in turns if turn.content)


def text_of(content: object) -> str:
    """The text of one message's content: a string, None (a turn of tool calls only), or a list of parts.

    Raises:
        PromptError: there is an image, a sound or a file in it.
    """
    return _Reader().content(plain(content))


class _Reader:
    """Reads items one after the other, and remembers what the tools are called that were called."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._calls: Counter[str] = Counter()

    def turns(self, items: list[Any]) -> list[Message]:
        """A turn for each item."""
        return [self._turn(item) for item in items]

    def content(self, content: Any) -> str:
        """The text of a message's content."""
        content = _given(content)
        if content is None:
            return ""
        if isinstance(content, str):
            return broken_up(encodable(content))
        if not isinstance(content, list):
            raise PromptError(f"a message's content must be text or a list of parts, not {type(content).__name__}")
        # Texts that follow each other are one: a fence could be forged in pieces.
        runs = itertools.groupby(content, key=_is_text)
        text = "".join(
            broken_up("".join(map(_as_text, parts))) if of_text else "".join(map(self._part, parts))
            for of_text, parts in runs
        )
        return "\n".join(filter(None, (text, *map(_annotations, content))))

    def _turn(self, item: Any) -> Message:
        if not isinstance(item, dict):
            raise PromptError(f"a message must be an object with role and content, not {type(item).__name__}")
        kind, role = (None if item.get(key) is None else str(item[key]) for key in ("type", "role"))
        if kind in _CALLS:
            return Message("assistant", self._call(item, kind))
        if kind in _RESULTS:
            return Message("tool", self._result(item, _RESULTS[kind]))
        if kind == "reasoning":
            thoughts = (item.get(key) for key in ("content", "summary", "text"))
            return Message("assistant", next(filter(None, map(_thought, thoughts)), ""))
        if kind in _TEXT_PARTS and role is None:
            return Message("assistant", self.content([item]))
        if kind in (None, "message") or (role in _ROLES and "content" in item):
            return self._message(item, role)
        refuse_media(item)
        speaker = _ROLES.get(str(role), "tool" if str(kind).endswith("_output") else "assistant")
        return Message(speaker, fenced("conversation item", json_text(item), encodable(str(kind))))

    def _message(self, item: dict[str, Any], role: str | None) -> Message:
        if role not in _ROLES:
            raise PromptError(f"a message has the role {str(role)[:20]!r}; use one of {', '.join(_ROLES)}")
        refuse_media_fields(item)
        if "content" not in item and role != "assistant":  # whose turn may be calls of tools, or nothing
            raise PromptError(f"a message with the role {role!r} has no content")
        role = _ROLES[role]
        if role == "tool":
            return Message(role, self._result(item, "content"))
        thought = next((_thought(item[name]) for name in _THOUGHT_FIELDS if _given(item.get(name))), "")
        said = self.content(item.get("content"))
        refusal = broken_up(_as_text(_given(item.get("refusal"))))
        if role == "assistant":
            said = _with_fenced_reasoning(said)
        elif speaker := broken_up(_as_text(_given(item.get("name")))).strip():  # of several, or of an example
            said = f"{speaker}: {said}"
        calls = _given(item.get("tool_calls")) or []
        calls = [*(calls if isinstance(calls, list) else [calls]), item.get("function_call")]
        cited = _annotations(item)
        shown = (self._call(call, "function_call") for call in calls if _given(call) is not None)
        return Message(role, "\n".join(filter(None, (thought, said, refusal, cited, *shown))))

    def _call(self, call: Any, kind: str) -> str:
        if not isinstance(call, dict):
            return fenced("tool call", _as_text(call))
        inner = next((call[key] for key in ("function", "custom", "mcp") if isinstance(call.get(key), dict)), call)
        name = encodable(str(inner.get("name") or ""))
        ids = [call[key] for key in _CALL_IDS if isinstance(call.get(key), str)]
        if name and ids:  # their results, which may come in any order, are told apart by a number
            self._calls[name] += 1
            name = f"{name} #{self._calls[name]}" if self._calls[name] > 1 else name
        self._names.update(dict.fromkeys(ids, name))
        return fenced("tool call", _first_given(inner, (_CALLS[kind], *_CALL_FIELDS)), name)

    def _result(self, item: dict[str, Any], field: str) -> str:
        ids = (item.get(key) for key in _RESULT_IDS)
        name = next((self._names[key] for key in ids if isinstance(key, str) and key in self._names), "")
        refuse_media(item)
        content = item.get(field)
        if isinstance(content, list) and content and all(map(_is_text_part, content)):
            text = "".join(map(_as_text, content))
        else:
            text = _first_given(item, (field,))
        errors = {key: item[key] for key in _ERROR_FIELDS if key != field and item.get(key)}
        if errors and field in item:
            text = "\n".join(filter(None, (text, json_text(errors))))
        return fenced("tool result", text, name or encodable(str(_given(item.get("name")) or "")))

    def _part(self, part: Any) -> str:
        """A part that is no text, with a line to itself."""
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        if isinstance(part, dict) and isinstance(kind, str):
            if kind in ("thinking", "reasoning"):
                return f"{thought}\n" if (thought := _thought(part.get(kind) or part.get("text"))) else ""
            if kind in _CALLS:
                return f"\n{self._call(part, kind)}\n"
            if kind in _RESULTS:
                return f"\n{self._result(part, _RESULTS[kind])}\n"
        raise PromptError(unsupported(kind))


def _as_part_of_response(turn: Message) -> str:
    """The text of a turn; where neither the assistant nor a tool speaks, in a fence that says who does."""
    if turn.role in ("assistant", "tool") or any(part.kind for part in parts_of(turn.content)):
        return turn.content
    return fenced("conversation item", turn.content, turn.role)


def _given(value: Any) -> Any:
    """The value; None where a dataset has nothing there, as pandas has NaN."""
    return value if isinstance(value, str) or not is_missing(value) else None


def _with_fenced_reasoning(said: str) -> str:
    """The text of an assistant's turn, what it begins with put into a fence where that is reasoning."""
    thought, answer, _ = split_reasoning(said)
    if not thought or any(part.kind for part in parts_of(said)):
        return said
    return "\n".join(filter(None, (fenced(REASONING, thought.strip()), answer.lstrip("\n"))))


def _thought(thought: Any) -> str:
    text = "\n".join(map(_as_text, thought)) if isinstance(thought, list) else _as_text(thought)
    return "" if shows_nothing(text) else fenced(REASONING, text)


def _annotations(item: Any) -> str:
    """The sources that a message or a part of its text cites."""
    cited = item.get("annotations") if isinstance(item, dict) else None
    return "" if is_missing(cited) else fenced("conversation item", json_text(cited), "annotations")


def _first_given(item: dict[str, Any], fields: Iterable[str]) -> str:
    """What stands in the first of these fields that holds something; where it has none of them, all that it says."""
    present = [item[field] for field in fields if field in item]
    if present:
        return _as_text(next((value for value in present if not _is_nothing(value)), None))
    rest = {key: inner for key, inner in item.items() if key not in _NOT_SHOWN and not is_missing(inner)}
    return json_text(rest) if rest else ""


def _is_nothing(value: Any) -> bool:
    """Whether nothing was given. An empty list is something: a tool that found nothing says so."""
    return value == "" or (is_missing(value) and not isinstance(value, str | list | dict))


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in _TEXT_PARTS


def _is_text(part: Any) -> bool:
    return isinstance(part, str) or (isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS)


def _as_text(value: Any) -> str:
    """A text as it is, also that of a part; anything else as JSON."""
    if isinstance(value, dict) and (_is_text_part(value) or set(value) == {"text"}):
        return _first_given(value, ("text", "refusal"))
    if value is None:
        return ""
    return encodable(value) if isinstance(value, str) else json_text(value)
