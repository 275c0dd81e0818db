"""The two kinds of lines of our own format (`grm_plugin.batch.items`), checked field by field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ConfigDict, Field, StrictInt, StrictStr, ValidationError, field_validator, model_validator

from grm_plugin.batch.input_lines import explain_validation
from grm_plugin.conversation.chat_turns import exchange_of
from grm_plugin.conversation.labels import as_reference
from grm_plugin.conversation.plain_json import plain
from grm_plugin.errors import WireError
from grm_plugin.types import Conversation
from grm_plugin.wire.fields import Criteria, Reference
from grm_plugin.wire.schemas import WireGroup, WireModel

PREFERENCE = ("chosen", "rejected")
_LABELS = ("responses", "best", "label")


class ItemFields(WireModel):
    """What every line may say about its item."""

    id: StrictStr | StrictInt | None = None
    """Unique in the file; a digest of the item where it is absent."""
    subset: str = ""
    """The part of the benchmark that it belongs to."""
    cluster: str = ""
    """Items with the same text here are drawn together when intervals are computed; empty: those on the same prompt."""
    meta: dict[str, Any] = Field(default_factory=dict)
    """Anything else; kept and not looked at."""

    @field_validator("meta")
    @classmethod
    def _is_json(cls, meta: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(meta, allow_nan=False)
        except ValueError:
            raise ValueError("NaN is no JSON value") from None
        except TypeError as error:
            raise ValueError(f"it must hold JSON values only ({error})") from None
        return meta

    def content(self) -> dict[str, Any]:
        """All that the line says, for the digest that is its id where it has none.

        A field that a later version of the format adds must not be in it where it is absent: ids would change.
        """
        said = self.model_dump(mode="json", exclude={"n"})
        return {key: value for key, value in said.items() if key not in ("cluster", "criteria", "source") or value}


class ItemLine(WireGroup, ItemFields):
    """A line with `responses`, and with `best` or `label`."""

    best: StrictInt | list[StrictInt] | None = None
    """Index of the best response, or of all that are equally good, counted from 0."""
    label: StrictInt | None = None
    """For a single response: 1 right, 0 wrong."""


class PreferenceLine(ItemFields):
    """A line with `chosen` and `rejected`, as preference data sets have them. Other columns are kept in `meta`."""

    model_config = ConfigDict(extra="allow")

    prompt: Any = None
    """A text, or a list of messages. It may be absent where `chosen` and `rejected` are messages that repeat it."""
    messages: Any = None
    """The same as `prompt`. Ignored where it repeats `chosen` or `rejected`, as in data sets that serve SFT too."""
    chosen: Any
    """The better response: a text, a message or a list of messages; or a list of several."""
    rejected: Any
    """The worse response, or several, as `chosen`."""
    reference: Reference = None
    """As in `WireGroup`."""
    rubric: Reference = None
    """As in `WireGroup`."""
    criteria: Criteria = ()
    """As in `WireGroup`."""

    @property
    def source(self) -> str | None:
        """As in `WireGroup`; the column stays among the others too."""
        return as_reference(self.further.get("source"))

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, row: Any) -> Any:
        """Columns that hold nothing are as good as absent: a table has every column in each of its rows.

        A further column may hold bytes, such as a picture, which JSON has no notation for: their digest stays.
        """
        if not isinstance(row, Mapping):
            return row
        known = cls.model_fields
        return {
            key: value if key in known else _without_bytes(value) for key, value in row.items() if value is not None
        }

    @model_validator(mode="after")
    def _one_label(self) -> PreferenceLine:
        also = [name for name in _LABELS if name in (self.model_extra or {})]
        if also:
            raise ValueError(f"chosen and rejected say which response is better: leave {', '.join(also)} out")
        return self

    @property
    def further(self) -> dict[str, Any]:
        """`meta`, and all columns that the format does not know, as JSON values."""
        others = json.loads(json.dumps(plain(self.model_extra or {}), default=str), parse_constant=lambda _: None)
        return {**others, **self.meta}

    def exchange(self) -> tuple[Conversation, tuple[str, ...], int]:
        """The conversation, the responses with the better ones first, and how many of them are better.

        Raises:
            WireError: a field cannot be read, or the labels contradict each other; the message names the field.
        """
        better, worse = (_several(name, getattr(self, name)) for name in PREFERENCE)
        prompt = self._prompt()
        if prompt is None and all(isinstance(response, str) for response in (*better, *worse)):
            raise WireError("prompt is missing: chosen and rejected are texts, which do not say what they answer")
        try:
            conversation, texts = exchange_of(prompt, [*better, *worse])
        except WireError as error:
            raise WireError(f"{self._wrong_field(prompt, better, worse)}{error}") from None
        both = set(texts[: len(better)]) & set(texts[len(better) :])
        if both:
            raise WireError(
                "labels that contradict each other: one text is both chosen and rejected; remove it from one of them, "
                "or remove the line"
            )
        return conversation, texts, len(better)

    def _prompt(self) -> Any:
        if self.messages is None or self.messages in (self.chosen, self.rejected):
            return self.prompt
        if self.prompt is not None:
            raise WireError("give exactly one of messages and prompt")
        return self.messages

    def _wrong_field(self, prompt: Any, better: Sequence[Any], worse: Sequence[Any]) -> str:
        """The name of the field that cannot be read, for a message; empty where each of them alone can be."""
        for name, responses in (("prompt", ["?"]), ("chosen", better), ("rejected", worse)):
            if name == "prompt" and prompt is None:
                continue
            try:
                exchange_of(prompt if name == "prompt" else "?", responses)
            except WireError:
                return f"{'messages' if name == 'prompt' and self.prompt is None else name}: "
        return ""


def item_line(row: Any) -> ItemLine | PreferenceLine:
    """The line of our own format that has this JSON value.

    Raises:
        WireError: a field is missing, unknown or wrong; the message names it.
    """
    kind: type[ItemLine] | type[PreferenceLine] = ItemLine
    names: dict[str, str] = {}
    if isinstance(row, Mapping):
        missing = [name for name in PREFERENCE if row.get(name) is None]
        if len(missing) == 1:
            raise WireError(f"{missing[0]} is missing: {' and '.join(PREFERENCE)} come together")
        if not missing:
            kind = PreferenceLine
        elif isinstance(row.get("prompt"), list) and row.get("messages") is None:
            names = {"messages": "prompt"}
            row = {key: value for key, value in row.items() if key != "prompt"} | {"messages": row["prompt"]}
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        raise WireError(explain_validation(error, names)) from None


def _without_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"
    if isinstance(value, Mapping):
        return {key: _without_bytes(inner) for key, inner in value.items()}
    return [_without_bytes(inner) for inner in value] if isinstance(value, list) else value


def _several(name: str, given: Any) -> list[Any]:
    """The responses in `chosen` or `rejected`: one, or several in a list. A list of messages is one response."""
    given = plain(given)
    if isinstance(given, str):
        return [given]
    if isinstance(given, dict):
        return [[given]]
    if not isinstance(given, list):
        raise WireError(f"{name} must be a text, a list of messages or a list of texts, not {type(given).__name__}")
    if not given:
        raise WireError(f"{name} is empty: it must hold a response")
    kinds = {isinstance(each, dict) for each in given}
    if len(kinds) > 1:
        raise WireError(f"{name} mixes messages with texts: give a list of messages, or a list of texts")
    return [given] if kinds == {True} else given
