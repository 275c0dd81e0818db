"""Scores of the samples of problems, in a file per scorer, which a killed run goes on with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError
from rich.console import Console

from grm_plugin.batch.append_only import AppendOnlyFile
from grm_plugin.batch.meter import Meter
from grm_plugin.batch.resumable_run import EngineFailed, Run
from grm_plugin.best_of.problems import Problem
from grm_plugin.engines.fingerprint import differing
from grm_plugin.errors import ConfigError

ROW_START = b'{"scored": '
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Scored:
    """What a scorer says of the samples of a problem.

    Attributes:
        id, digest: of the problem.
        scores: per sample, higher is better; None where there is none.
        weights: per sample, its score on one scale for all, for votes: those of the GRM's first round. Else the scores.
        read, written: tokens that the scorer's model has read (an estimate) and written.
        why: why samples have no score, or a bad one -> how many.
    """

    id: str
    digest: str
    scores: tuple[float | None, ...]
    weights: tuple[float | None, ...]
    read: float = 0.0
    written: float = 0.0
    why: Mapping[str, int] = field(default_factory=dict)


Score = Callable[[Problem], Awaitable[Scored | EngineFailed]]
"""A function that scores the samples of one problem."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """What scores samples.

    Attributes:
        name: of its figures and its file.
        fingerprint: part -> digest, of what its scores depend on.
        open: opens it; not called where every problem has its scores.
    """

    name: str
    fingerprint: Mapping[str, str]
    open: Callable[[], AbstractAsyncContextManager[Score]]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    id: str
    digest: str
    fingerprint: dict[str, str]
    scores: list[FiniteFloat | None]
    weights: list[FiniteFloat | None]
    read: float
    written: float
    why: dict[str, int]


class ScoreFile(AppendOnlyFile):
    """The file of a scorer, open for adding. Only one process may have it open at a time.

    Attributes:
        found: id -> scores.

    Raises:
        ConfigError: it cannot be written, is in use, is something else, or holds the scores of something else.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, str]) -> None:
        self.found: dict[str, Scored] = {}
        self._fingerprint = dict(fingerprint)
        super().__init__(path, ROW_START, self._on_row)

    @property
    def done(self) -> set[str]:
        """The ids of the problems that have scores."""
        return {*self.found}

    def require_same(self, problems: Sequence[Problem]) -> None:
        """Check that the scores are of these very samples.

        Raises:
            ConfigError: they are of others.
        """
        for problem in problems:
            if problem.id in self.found and self.found[problem.id].digest != problem.digest:
                raise ConfigError(
                    f"{self.path} holds scores of other samples of the problem {problem.id!r}: the store has grown, or "
                    "is another policy's. Give another --output"
                )

    def add(self, record: Scored) -> None:
        """Add the scores of a problem. They are safe from kill -9 on return.

        Raises:
            ConfigError: the disk is full, or gone.
        """
        row = {name: getattr(record, name) for name in ("id", "digest", "scores", "weights", "read", "written")}
        self.append({"scored": FORMAT, **row, "why": dict(record.why), "fingerprint": self._fingerprint})
        self.found[record.id] = record

    def _on_row(self, text: bytes, number: int) -> None:
        try:
            row = _Row.model_validate_json(text)
        except ValidationError:
            raise ConfigError(
                f"{self.path} line {number} is no row of `grm-plugin best-of`: give another --output"
            ) from None
        if parts := differing(row.fingerprint, self._fingerprint):
            raise ConfigError(
                f"{self.path} holds the scores of another {self.path.stem}, which differs in {', '.join(parts)}: give "
                "another --output"
            )
        self.found[row.id] = Scored(
            row.id, row.digest, tuple(row.scores), tuple(row.weights), row.read, row.written, row.why
        )


def score_all(
    scorer: Scorer, problems: Sequence[Problem], folder: Path, concurrency: int
) -> tuple[int, dict[str, Scored]]:
    """Score what has no scores in the folder yet, and say on stderr how far it got.

    Returns:
        The exit status of the command, and the scores by the problems' ids.

    Raises:
        ConfigError: as `ScoreFile`.
    """
    console = Console(stderr=True)
    path = folder / f"{scorer.name}.jsonl"
    with ScoreFile(path, scorer.fingerprint) as file:
        file.require_same(problems)
        meter = Meter(console, "problems", len(problems), sum(problem.id in file.found for problem in problems))
        run: Run[Problem, Scored] = Run(file, meter, concurrency, "problems in a row without scores")
        ended = run.carry_out(partial(_score_missing, scorer, run, problems))
        summary = f"{path}: {meter.summary}"
        if ended.missing:
            summary += f"; {ended.missing:,} problems have no scores: {ended.reason}. The same command tries them again"
        console.print(summary, soft_wrap=True, markup=False, highlight=False)
        return ended.status, file.found


async def _score_missing(scorer: Scorer, run: Run[Problem, Scored], problems: Sequence[Problem]) -> None:
    async with scorer.open() as score:
        await run.process(problems, score)
