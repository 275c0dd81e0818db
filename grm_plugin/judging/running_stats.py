"""Mean and variance of all mean votes so far, kept without the votes, and saved to a file that survives a restart."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from grm_plugin._util.files import replacing
from grm_plugin.errors import ConfigError
from grm_plugin.types import MAX_SCORE

NO_SPREAD = 1e-8
"""Standard deviations below this are rounding errors: real ones are steps of a 1..10 scale over a few votes."""


@dataclass(frozen=True, slots=True)
class RunningStats:
    """Mean and variance of `count` values. `m2` is the sum of their squared distances from `mean`.

    Merging is Chan, Golub and LeVeque's pairwise update of Welford's algorithm.
    """

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> RunningStats:
        """The statistics of one batch of values, the same to the last bit in whatever order they come."""
        if not values:
            return cls()
        mean = math.fsum(values) / len(values)
        return cls(len(values), mean, math.fsum((value - mean) ** 2 for value in values))

    def merge(self, other: RunningStats) -> RunningStats:
        """The statistics of both streams together."""
        count = self.count + other.count
        if count == 0:
            return RunningStats()
        share, gap = other.count / count, other.mean - self.mean
        m2 = self.m2 + other.m2 + gap * gap * self.count * share
        return RunningStats(count, self.mean + gap * share, m2)

    @property
    def std(self) -> float:
        """Population standard deviation; 0.0 for fewer than two values."""
        return math.sqrt(self.m2 / self.count) if self.count else 0.0

    def z_scores(self, values: Sequence[float]) -> list[float]:
        """Distances from the mean in standard deviations; all 0.0 where there is no spread."""
        std = self.std
        return [(value - self.mean) / std if std >= NO_SPREAD else 0.0 for value in values]

    def save(self, path: str | Path) -> None:
        """Write to `path`. After a crash the old file or the new one is there, never a part of one.

        Raises:
            ConfigError: the file cannot be written.
        """
        with replacing(Path(path), "normalize.state_path") as draft:
            draft.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> RunningStats:
        """Read what `save` wrote; no values yet where there is no file.

        Raises:
            ConfigError: the file cannot be read, is no such state, or was written with `normalize.momentum`, which
                earlier versions had.
        """
        try:
            state = _State.model_validate_json(Path(path).read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError) as error:
            raise ConfigError(
                f"normalize.state_path: {path} holds no running statistics; delete it to start afresh, or name another "
                f"file ({error})"
            ) from None
        if state.weight not in (None, state.count):
            raise ConfigError(
                f"normalize.state_path: {path} was written with normalize.momentum, which is gone: delete it to start "
                "afresh, or name another file"
            )
        return cls(state.count, state.mean, state.m2)


class _State(BaseModel):
    """The file's content: every field of `RunningStats`, within bounds that keep all rewards finite.

    Files of 0.1.0 also have `weight`, which equals `count` unless they were written with `normalize.momentum`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    count: int = Field(ge=0)
    weight: float | None = Field(default=None, ge=0)
    mean: float = Field(ge=0, le=MAX_SCORE)
    m2: float = Field(ge=0)
