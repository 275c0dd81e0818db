"""The output of `grm-plugin score`: a JSONL file with one judgement per line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from grm_plugin.batch.append_only import AppendOnlyFile
from grm_plugin.errors import ConfigError
from grm_plugin.score.input_groups import InputGroup
from grm_plugin.wire.schemas import WireJudgement

ROW_START = b'{"id": '


@dataclass(frozen=True, slots=True)
class JudgedGroup:
    """A group of the input with its judgement."""

    group: InputGroup
    judgement: WireJudgement


class Results(AppendOnlyFile):
    """The output file, open for adding results. Only one process may have it open at a time.

    A line has the `id` and the `line` of the group in the input, and the fields of its judgement as `POST /v1/score`
    answers them.

    Attributes:
        done: the ids of the groups that have a result.

    Raises:
        ConfigError: the file cannot be written, is in use by another run, or holds something else.
    """

    def __init__(self, path: Path) -> None:
        self.done: set[str | int] = set()
        super().__init__(path, ROW_START, lambda text, number: self.done.add(_id(path, text, number)))

    def add(self, record: JudgedGroup) -> None:
        """Add the result of a group.

        Raises:
            ConfigError: the disk is full, or gone.
        """
        group = record.group
        self.append({"id": group.id, "line": group.line, **record.judgement.model_dump(mode="json")})
        self.done.add(group.id)


def _id(path: Path, text: bytes, number: int) -> str | int:
    try:
        if text.startswith(ROW_START) and text.endswith(b"\n"):
            name: str | int = json.loads(text)["id"]
            return name
    except (ValueError, KeyError):
        pass
    raise ConfigError(
        f"{path} line {number} is no result of `grm-plugin score`: give another --output, or remove that line"
    )
