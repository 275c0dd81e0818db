"""The input of offline scoring: a JSONL file, one group per line, read without holding it in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, StrictInt, StrictStr, ValidationError

from grm_plugin.batch.lines import read_lines, say
from grm_plugin.errors import WireError
from grm_plugin.wire.schemas import WireGroup


class Line(WireGroup):
    """One line of the input: a group as `POST /v1/score` takes it, and a name for it."""

    id: StrictStr | StrictInt | None = Field(default=None)
    """Unique in the file; a digest of the group where it is absent."""


@dataclass(frozen=True, slots=True)
class Task:
    """A group to score. `line` counts from 1."""

    id: str | int
    line: int
    group: WireGroup


def read_tasks(path: Path, on_bad: Callable[[str], None] | None = None) -> Iterator[Task]:
    """The groups of a file, in its order; blank lines are passed over.

    Args:
        path: the file.
        on_bad: takes the message about a bad line, which is then left out; None raises it.

    Raises:
        WireError: a line is no group, or has the id of an earlier one; the message names line and field.
        ConfigError: the file cannot be read.
    """
    lines_of: dict[str | int, int] = {}
    for number, text in read_lines(path):
        try:
            task = _task(text, number, lines_of)
        except WireError as error:
            message = f"{path} line {number}: {error}"
            if on_bad is None:
                raise WireError(f"{message} (--skip-bad leaves such lines out)") from None
            on_bad(message)
            continue
        lines_of[task.id] = number
        yield task


def _task(text: bytes, number: int, lines_of: dict[str | int, int]) -> Task:
    try:
        line = Line.model_validate_json(text)
    except ValidationError as error:
        raise WireError(say(error)) from None
    group = WireGroup.model_validate(line.model_dump(exclude={"id"}))
    if line.id is None:
        return Task(_unused_id(group, lines_of), number, group)
    if line.id in lines_of:
        raise WireError(f"id: {line.id!r} stands on line {lines_of[line.id]} already; ids must be unique")
    return Task(line.id, number, group)


def _unused_id(group: WireGroup, lines_of: dict[str | int, int]) -> str:
    """A name that stays when lines are added or moved; equal groups are numbered in their order."""
    digest = hashlib.sha256(group.model_dump_json().encode()).hexdigest()[:16]
    name, repeats = digest, 1
    while name in lines_of:
        repeats += 1
        name = f"{digest}-{repeats}"
    return name
