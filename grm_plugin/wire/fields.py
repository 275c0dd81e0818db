"""Fields that hold what frameworks have, as it is; what the reader of conversations cannot read is refused here.

What is read is left to `grm_plugin.conversation`: messages and responses travel as they were sent, so that the service
can tell requests apart by all that is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from grm_plugin.conversation.criteria import read_criteria
from grm_plugin.conversation.labels import NO_LABEL, as_reference, is_missing, read_label
from grm_plugin.conversation.labels import Label as Read
from grm_plugin.conversation.messages import to_conversation, to_response
from grm_plugin.conversation.plain_json import plain
from grm_plugin.errors import PromptError
from grm_plugin.types import Criterion

Value = TypeVar("Value")


def _reading(read: Callable[[Any], Value]) -> Callable[[Any], Value]:
    """The reader as a validator: what it cannot read is an error of the field."""

    def validate(value: Any) -> Value:
        try:
            return read(value)
        except PromptError as error:
            raise ValueError(str(error)) from None

    return validate


def _readable(read: Callable[[Any], object]) -> Callable[[Any], Any]:
    """A validator that lets through what can be read, as plain JSON values."""

    def check(value: Any) -> Any:
        value = plain(value)
        read(value)
        return value

    return _reading(check)


Messages = Annotated[
    list[Annotated[dict[str, Any], AfterValidator(_readable(lambda message: to_conversation([message])))]],
    Field(min_length=1),
    BeforeValidator(_reading(plain)),
]
"""Messages as OpenAI's chat API has them, or items as its responses API has them, as they were sent."""

Response = Annotated[
    str | dict[str, Any] | list[dict[str, Any]],
    PlainValidator(_readable(to_response)),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "array", "items": {"type": "object"}}]}),
]
"""A response: a text, a message, or a list of messages (what the policy did, and what its tools answered)."""

Label = Annotated[Any, AfterValidator(_readable(read_label))]
"""A label that `read_label` can read."""


def _label_texts(label: Any) -> Read | str | None:
    read = label if isinstance(label, Read) else read_label(label)
    return read.reference if read[1:] == NO_LABEL[1:] else read


LabelTexts = Annotated[
    Any,
    PlainValidator(_reading(_label_texts)),
    WithJsonSchema({"description": "a reference, an object with reference, rubric, criteria and source, or null"}),
]
"""A label, read: a reference or None, or a `labels.Label` where it holds more."""

Criteria = Annotated[
    tuple[Criterion, ...],
    PlainValidator(_reading(lambda value: () if is_missing(value) else read_criteria(value))),
    PlainSerializer(lambda criteria: [asdict(criterion) for criterion in criteria], list[dict[str, Any]]),
    WithJsonSchema({"type": "array", "items": {"anyOf": [{"type": "object"}, {"type": "string"}]}}),
]
"""Criteria, read by `grm_plugin.conversation.criteria.read_criteria`."""


Reference = Annotated[str | None, BeforeValidator(_reading(as_reference))]
"""A text, or what is shown as JSON; None where it is missing."""
