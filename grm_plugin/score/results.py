"""The output of `grm-plugin score`: a JSONL file with one judgement per line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grm_plugin.batch.append_only import AppendOnlyFile
from grm_plugin.engines.fingerprint import differing
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

    A line has the `id` and the `line` of the group in the input, the `digest` of the group, the `fingerprint` of what
    it was judged with, and the fields of its judgement as `POST /v1/score` answers them.

    Args:
        path: the file.
        fingerprint: part -> digest, of what the groups are judged with now.

    Attributes:
        done: the ids of the groups that have a result.
        unmarked: number of results of earlier versions, which do not say what they were made with.

    Raises:
        ConfigError: the file cannot be written, is in use by another run, or holds something else, or results that
            were made with something else than `fingerprint` says.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, str]) -> None:
        self.done: set[str | int] = set()
        self.unmarked = 0
        self._fingerprint = dict(fingerprint)
        self._digests: dict[str | int, str | None] = {}
        super().__init__(path, ROW_START, self._on_row)

    def require_same_groups(self, groups: Iterable[tuple[str | int, str]]) -> None:
        """Check that the ids with a result still stand for the same groups, given as pairs of id and digest.

        Raises:
            ConfigError: the file has a result for another group with one of these ids.
        """
        for name, digest in groups:
            if self._digests.get(name) not in (None, digest):
                raise ConfigError(
                    f"{self.path} has a result for another group with the id {name!r}: give another --output, or the "
                    "group another id"
                )

    def add(self, record: JudgedGroup) -> None:
        """Add the result of a group.

        Raises:
            ConfigError: the disk is full, or gone.
        """
        group = record.group
        marks = {"id": group.id, "line": group.line, "digest": group.digest, "fingerprint": self._fingerprint}
        self.append({**marks, **record.judgement.model_dump(mode="json")})
        self.done.add(group.id)

    def _on_row(self, text: bytes, number: int) -> None:
        row = _marks(self.path, text, number)
        if row.fingerprint is None:
            self.unmarked += 1
        elif parts := differing(row.fingerprint, self._fingerprint):
            raise ConfigError(
                f"{self.path} holds results of another run, which differs in {', '.join(parts)}: give another --output"
            )
        self.done.add(row.id)
        self._digests[row.id] = row.digest


class _Marks(BaseModel):
    """What a line of the output says besides the judgement."""

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str | int
    digest: str | None = None
    fingerprint: dict[str, str] | None = Field(default=None)


def _marks(path: Path, text: bytes, number: int) -> _Marks:
    try:
        if text.startswith(ROW_START) and text.endswith(b"\n"):
            return _Marks.model_validate_json(text)
    except ValidationError:
        pass
    raise ConfigError(
        f"{path} line {number} is no result of `grm-plugin score`: give another --output, or remove that line"
    )
