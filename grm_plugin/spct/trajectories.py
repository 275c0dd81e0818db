"""Trajectories: the critiques that a GRM wrote about each item, whether they are right, and the file that keeps them.

The file has one line per item, and lines are only added, so that a killed run can go on where it stopped. Its first
line, the manifest, says what the trajectories were sampled with; a run with anything else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grm_plugin.batch.append_only import AppendOnlyFile
from grm_plugin.engines.fingerprint import differing
from grm_plugin.errors import ConfigError
from grm_plugin.judging.outcome import Target
from grm_plugin.spct.training_prompts import Presentation
from grm_plugin.types import Group, Message, UnparsedReason

FILE_NAME = "trajectories.jsonl"
FORMAT = 1
ROW_START = b'{"spct": '

Kind = Literal["plain", "hinted"]


class Trajectory(BaseModel):
    """One critique.

    Attributes:
        kind: sampled without a hint (`plain`) or with one (`hinted`).
        text: the whole critique.
        right: whether its scores agree with the label.
        scores: one per response, in the order shown; None if the critique could not be read.
        reason: why it could not be read.
        tie: whether it is wrong only because another response has the same score as the best one.
        tokens: number of tokens generated.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    text: str
    right: bool
    scores: tuple[float, ...] | None = None
    reason: UnparsedReason | None = None
    tie: bool = False
    tokens: int = 0


class ItemTrajectories(BaseModel):
    """One item as it was shown to the GRM, and its trajectories. The fields are those of `Presentation`."""

    model_config = ConfigDict(frozen=True)

    id: str
    messages: tuple[tuple[str, str], ...]
    responses: tuple[str, ...]
    reference: str | None
    rubric: str | None
    order: tuple[int, ...]
    marker: str
    best: tuple[int, ...]
    label: int | None
    meta: dict[str, Any] = Field(default_factory=dict)
    trajectories: tuple[Trajectory, ...]

    @classmethod
    def of(cls, name: str, shown: Presentation, trajectories: tuple[Trajectory, ...]) -> ItemTrajectories:
        """The record of the item `name`, which was shown like this."""
        group, target = shown.group, shown.target
        return cls(
            id=name,
            messages=tuple((turn.role, turn.content) for turn in group.conversation),
            responses=group.responses,
            reference=group.reference,
            rubric=group.rubric,
            order=shown.order,
            marker=shown.marker,
            best=target.best,
            label=target.label,
            meta=dict(shown.meta),
            trajectories=trajectories,
        )

    @property
    def shown(self) -> Presentation:
        """The item as it was shown to the GRM."""
        conversation = tuple(Message(role, content) for role, content in self.messages)
        group = Group(conversation, self.responses, self.reference, self.rubric)
        target = Target(len(self.responses), self.best, self.label)
        return Presentation(group, self.order, self.marker, target, self.meta)

    def of_kind(self, kind: Kind) -> list[Trajectory]:
        """The trajectories sampled without a hint (`plain`), or with one (`hinted`)."""
        return [trajectory for trajectory in self.trajectories if trajectory.kind == kind]

    @property
    def easy(self) -> bool:
        """Whether all trajectories without a hint are right, so that the item teaches nothing (paper: 3 of 3)."""
        plain = self.of_kind("plain")
        return bool(plain) and all(trajectory.right for trajectory in plain)


class TrajectoryStore(AppendOnlyFile):
    """The file of trajectories in a folder, open for adding. Only one process may have it open at a time.

    Attributes:
        done: the ids of the items that have their trajectories.

    Raises:
        ConfigError: the folder cannot be written, is in use or holds something else, or its trajectories were sampled
            with something else than `manifest` says.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.done: set[str] = set()
        self._manifest: dict[str, Any] = json.loads(json.dumps(manifest))
        self._matched = False
        super().__init__(folder / FILE_NAME, ROW_START, self._on_row)
        if not self._matched:
            self.append({"spct": FORMAT, "manifest": self._manifest})

    def add(self, record: ItemTrajectories) -> None:
        """Add an item and its trajectories. They are safe from kill -9 when this returns.

        Raises:
            ConfigError: the disk is full, or gone.
        """
        self.append({"spct": FORMAT, "record": record.model_dump(mode="json")})
        self.done.add(record.id)

    def _on_row(self, text: bytes, number: int) -> None:
        row = _row(self.path, number, text)
        if isinstance(row, ItemTrajectories):
            self.done.add(row.id)
            return
        self._matched = True
        if keys := differing(row, self._manifest):
            raise ConfigError(
                f"{self.path} holds the trajectories of another run, which differs in {', '.join(keys)}: give another "
                "--output"
            )


def read_trajectories(folder: Path) -> Iterator[ItemTrajectories]:
    """The records of a folder, in the order in which they were finished. A half row at the end is passed over.

    Raises:
        ConfigError: there is no file of trajectories, or a row is damaged.
    """
    path = folder / FILE_NAME
    try:
        with path.open("rb") as stream:
            for number, text in enumerate(stream, start=1):
                if text.endswith(b"\n") and isinstance(row := _row(path, number, text), ItemTrajectories):
                    yield row
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror or error}): give the --output of `grm-plugin spct rft-data`"
        ) from None


class _Row(BaseModel):
    spct: Literal[1]
    manifest: dict[str, Any] | None = None
    record: ItemTrajectories | None = None


def _row(path: Path, number: int, text: bytes) -> ItemTrajectories | dict[str, Any]:
    """The record in a row; in the first row, the manifest."""
    try:
        row = _Row.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ConfigError(
            f"{path} line {number} is no row of `grm-plugin spct rft-data` ({where}: {problem['msg']}): remove that "
            "line, or give another folder"
        ) from None
    if number == 1 and row.manifest is not None:
        return row.manifest
    if number > 1 and row.record is not None:
        return row.record
    raise ConfigError(f"{path} line {number} is out of place: give another folder")
