"""Finds the groups in a batch: rows that follow each other and have the same prompt are siblings.

For frameworks that hand over a batch without saying how many samples a prompt has.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from grm_plugin.client.replies import explain
from grm_plugin.errors import GroupError
from grm_plugin.types import Conversation, message_dicts
from grm_plugin.wire.schemas import WireGroup


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One response. `prompt` is text as the policy saw it (the service finds the conversation in it), or the turns."""

    prompt: str | Conversation
    response: str
    reference: str | None = None
    rubric: str | None = None

    @property
    def request(self) -> tuple[object, ...]:
        """What siblings have in common."""
        return self.prompt, self.reference, self.rubric


def contiguous_groups(rows: Iterable[BatchRow]) -> list[WireGroup]:
    """The groups, in the order of the rows: their responses, put one after the other, are the batch's.

    Raises:
        GroupError: there are more than 4,096 siblings.
    """
    return [_group(tuple(siblings)) for _, siblings in itertools.groupby(rows, key=lambda row: row.request)]


def _group(rows: tuple[BatchRow, ...]) -> WireGroup:
    first = rows[0]
    fields: dict[str, object] = {"responses": [row.response for row in rows]}
    if isinstance(first.prompt, str):
        fields["prompt"] = first.prompt
    else:
        fields["messages"] = message_dicts(first.prompt)
    try:
        return WireGroup.model_validate(fields | {"reference": first.reference, "rubric": first.rubric})
    except ValidationError as error:
        raise GroupError(f"{len(rows)} responses to one prompt make no group: {explain(error.errors())}") from None
