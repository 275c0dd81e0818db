"""The input of `grm-plugin score`: a JSONL file with one group per line, read line by line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, StrictInt, StrictStr, ValidationError

from grm_plugin._util.digests import digest
from grm_plugin.batch.input_lines import decode_line, explain_validation, read_lines, require_single_keys
from grm_plugin.errors import WireError
from grm_plugin.wire.schemas import WireGroup


class InputLine(WireGroup):
    """One line of the input: a group as `POST /v1/score` takes it, and its id."""

    id: StrictStr | StrictInt | None = Field(default=None)
    """Unique in the file; where it is absent, the id is a digest of the group."""


ADDED_LATER = ("n", "criteria", "source")


@dataclass(frozen=True, slots=True)
class InputGroup:
    """A group to judge, with its id and its line number in the input (from 1)."""

    id: str | int
    line: int
    group: WireGroup

    @property
    def digest(self) -> str:
        """A digest of the group, by which a changed one is told from the former."""
        return digest(self.group.model_dump(mode="json", exclude_defaults=True))


def read_groups(path: Path, on_bad: Callable[[str], None] | None = None) -> Iterator[InputGroup]:
    """The groups of a file, in its order; blank lines are passed over.

    Args:
        path: the file.
        on_bad: called with the message about a bad line, which is then left out; None raises an error instead.

    Raises:
        WireError: a line is not a group, or has the id of an earlier one; the message names line and field.
        ConfigError: the file cannot be read.
    """
    lines_of: dict[str | int, int] = {}
    for number, text in read_lines(path):
        try:
            found = _parse_group(text, number, lines_of)
        except WireError as error:
            message = f"{path} line {number}: {error}"
            if on_bad is None:
                raise WireError(f"{message} (--skip-bad leaves such lines out)") from None
            on_bad(message)
            continue
        lines_of[found.id] = number
        yield found


def _parse_group(text: bytes, number: int, lines_of: dict[str | int, int]) -> InputGroup:
    json_text = decode_line(text)
    require_single_keys(json_text)
    try:
        line = InputLine.model_validate_json(json_text)
    except ValidationError as error:
        raise WireError(explain_validation(error)) from None
    group = WireGroup.model_validate(line.model_dump(exclude={"id"}))
    if line.id is None:
        return InputGroup(_unused_id(group, lines_of), number, group)
    if line.id in lines_of:
        raise WireError(f"id: {line.id!r} stands on line {lines_of[line.id]} already; ids must be unique")
    return InputGroup(line.id, number, group)


def _unused_id(group: WireGroup, lines_of: dict[str | int, int]) -> str:
    """An id that depends on the content alone, so that lines may move. Equal groups are numbered in their order."""
    absent = {name for name in ADDED_LATER if not getattr(group, name)}  # ids are as before there were such fields
    text = group.model_dump_json(exclude=absent)
    content = hashlib.sha256(text.encode()).hexdigest()[:16]
    name, repeats = content, 1
    while name in lines_of:
        repeats += 1
        name = f"{content}-{repeats}"
    return name
