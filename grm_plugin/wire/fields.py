"""Fields that hold what frameworks have, as it is; what the reader of conversations cannot read is refused here.

What is read is left to `grm_plugin.conversation`: messages and responses travel as they were sent, so that the service
can tell requests apart by all that is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema

from grm_plugin.conversation.labels import as_reference, read_label
from grm_plugin.conversation.messages import to_conversation, to_response
from grm_plugin.conversation.plain_json import plain
from grm_plugin.errors import PromptError

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


def _label_texts(label: Any) -> str | tuple[str | None, str | None] | None:
    reference, rubric = read_label(label)
    return reference if rubric is None else (reference, rubric)


LabelTexts = Annotated[str | tuple[str | None, str | None] | None, BeforeValidator(_reading(_label_texts))]
"""A label, read: a reference, or a pair of reference and rubric where there is a rubric."""


Reference = Annotated[str | None, BeforeValidator(_reading(as_reference))]
"""A text, or what is shown as JSON; None where it is missing."""
