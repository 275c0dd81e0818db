"""Reads the forms in which a program gives a prompt and its responses: texts, dicts, tuples, `Group`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

from pydantic import ValidationError

from grm_plugin._util.text import encodable
from grm_plugin.errors import WireError
from grm_plugin.types import Group, Message
from grm_plugin.wire.field_errors import explain
from grm_plugin.wire.schemas import WireGroup

Turn: TypeAlias = Message | Mapping[str, Any] | tuple[str, str]
"""One message: as chat APIs have it (`{"role": ..., "content": ...}`), as `(role, text)`, or a `Message`."""

Prompt: TypeAlias = str | Turn | Sequence[Turn]
"""A text (in a chat format of `conversation.format`, or plain, which is then what the user says), or messages."""

Responses: TypeAlias = Iterable[str | Mapping[str, Any] | Sequence[Mapping[str, Any]]]
"""Each a text, a message, or a list of messages (what the policy did, and what its tools answered)."""

AnyGroup: TypeAlias = Group | WireGroup | Mapping[str, Any] | tuple[Prompt, Responses]
"""A prompt with its responses: `(prompt, responses)`, a `Group`, or what `POST /v1/score` takes for one
(`{"prompt" or "messages": ..., "responses": [...], "reference": ...}`)."""


def to_wire(group: AnyGroup) -> WireGroup:
    """The group as it is sent.

    Raises:
        WireError: it has none of these forms, or does not fit the schema; the message names the field.
    """
    if isinstance(group, WireGroup):
        return group
    if isinstance(group, Group):
        return _of_group(group)
    if isinstance(group, Mapping):
        return _checked(group)
    if isinstance(group, tuple) and len(group) == 2:
        return group_of(*group)
    raise WireError(
        f"a group cannot be {_what(group)}: give (prompt, responses), a Group, or a dict with prompt or messages, and "
        "responses"
    )


def to_wires(groups: object, **labels: Any) -> list[WireGroup]:
    """Groups as they are sent.

    Args:
        groups: what a caller gave who gave no responses beside it.
        labels: what came with it; it belongs to a prompt, and here there is none.

    Raises:
        WireError: as `to_wire`; or these are no groups.
    """
    if isinstance(groups, str | Mapping | Group | WireGroup) or not isinstance(groups, Iterable):
        raise WireError(f"this is {_what(groups)}: give a prompt and its responses, or a list of groups")
    if labels:
        raise WireError(f"{', '.join(labels)} beside groups belongs to none of them: put it into each group")
    return [to_wire(group) for group in groups]


def group_of(prompt: Prompt, responses: Responses, **labels: Any) -> WireGroup:
    """A prompt with its responses, and the other fields of `WireGroup`.

    Raises:
        WireError: as `to_wire`.
    """
    if isinstance(responses, str | Mapping) or not isinstance(responses, Iterable):
        raise WireError(f"responses is {_what(responses)}: give a list of them, one reward each")
    asked = {"prompt": prompt} if isinstance(prompt, str) else {"messages": _messages(prompt)}
    return _checked({**asked, "responses": list(responses), **labels})


def _of_group(group: Group) -> WireGroup:
    return _checked(
        {
            "messages": [_message(turn) for turn in group.conversation],
            "responses": group.responses,
            "reference": group.reference and encodable(group.reference),
            "rubric": group.rubric and encodable(group.rubric),
            "criteria": [asdict(criterion) for criterion in group.criteria],
            "source": group.source and encodable(group.source),
        }
    )


def _messages(prompt: object) -> list[Any]:
    if isinstance(prompt, Message | Mapping):
        return [_message(prompt)]
    if isinstance(prompt, tuple) and len(prompt) == 2 and all(isinstance(part, str) for part in prompt):
        return [_message(prompt)]
    if not isinstance(prompt, Iterable):
        raise WireError(f"the prompt is {_what(prompt)}: give a text, or messages")
    return [_message(turn) for turn in prompt]


def _message(turn: object) -> object:
    if isinstance(turn, Message):
        return {"role": turn.role, "content": encodable(turn.content)}
    if isinstance(turn, tuple) and len(turn) == 2:
        return {"role": turn[0], "content": turn[1]}
    return turn


def _checked(fields: Mapping[str, Any]) -> WireGroup:
    responses = fields.get("responses")
    if isinstance(responses, list | tuple):
        shown = [encodable(response) if isinstance(response, str) else response for response in responses]
        fields = {**fields, "responses": shown}
    if isinstance(prompt := fields.get("prompt"), str):
        fields = {**fields, "prompt": encodable(prompt)}
    try:
        return WireGroup.model_validate(fields)
    except ValidationError as error:
        raise WireError(f"this group cannot be sent: {explain(error.errors())}") from None


def _what(value: object) -> str:
    """A value in words: what it holds may be long, and does not belong into logs."""
    if isinstance(value, str):
        return "one text"
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, list | tuple) else type(value).__name__
