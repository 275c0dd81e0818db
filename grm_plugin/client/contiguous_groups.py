"""Finds the groups in a batch: rows that follow each other and have the same prompt are siblings.

For frameworks that hand over a batch without saying how many samples a prompt has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from grm_plugin.conversation.labels import LABEL_FIELDS
from grm_plugin.conversation.messages import to_conversation, to_response
from grm_plugin.conversation.plain_json import identity_of
from grm_plugin.errors import GroupError
from grm_plugin.types import Criterion
from grm_plugin.wire.field_errors import explain
from grm_plugin.wire.schemas import WireGroup


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One response, as the framework holds it: the service reads it.

    Attributes:
        prompt: text as the policy saw it, or messages.
        response: a text, a message, or a list of messages.
        reference, rubric, criteria, source: what its label holds (`grm_plugin.conversation.labels`).

    Raises:
        PromptError: one of them cannot be read, or holds more than text.
    """

    prompt: str | Sequence[Mapping[str, Any]]
    response: str | Mapping[str, Any] | Sequence[Mapping[str, Any]]
    reference: str | None = None
    rubric: str | None = None
    criteria: tuple[Criterion, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.prompt, str):
            to_conversation(self.prompt)
        to_response(self.response)

    @property
    def request(self) -> tuple[object, ...]:
        """What siblings have in common: all that was sent, whether it is shown or not."""
        return identity_of(self.prompt), self.reference, self.rubric, self.criteria, self.source


def contiguous_groups(rows: Iterable[BatchRow]) -> list[WireGroup]:
    """The groups, in the order of the rows: their responses, put one after the other, are the batch's.

    Raises:
        GroupError: there are more than 4,096 siblings.
    """
    return [group_of(tuple(siblings)) for _, siblings in itertools.groupby(rows, key=lambda row: row.request)]


def group_of(rows: Sequence[BatchRow]) -> WireGroup:
    """The responses of these rows as one group, with the prompt and the label of the first one.

    Raises:
        GroupError: as `contiguous_groups`.
    """
    first = rows[0]
    fields: dict[str, object] = {"responses": [row.response for row in rows]}
    fields["prompt" if isinstance(first.prompt, str) else "messages"] = first.prompt
    try:
        label = {name: getattr(first, name) for name in LABEL_FIELDS}
        return WireGroup.model_validate(fields | label)
    except ValidationError as error:
        raise GroupError(f"{len(rows)} responses to one prompt make no group: {explain(error.errors())}") from None
