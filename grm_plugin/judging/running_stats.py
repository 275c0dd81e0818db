"""Running mean and variance of a stream of mean votes: mergeable, and saved atomically."""

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
    """Mean and variance of a stream, with an optional exponential loss of the past.

    `count` values were seen; they weigh `weight` together (= `count` if nothing was decayed). `m2` is the weighted sum
    of squared distances from `mean`. Merging is Chan, Golub and LeVeque's pairwise update of Welford's algorithm.
    """

    count: int = 0
    weight: float = 0.0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> RunningStats:
        """The statistics of one batch, the same to the last bit for any order of it."""
        if not values:
            return cls()
        mean = math.fsum(values) / len(values)
        return cls(len(values), float(len(values)), mean, math.fsum((value - mean) ** 2 for value in values))

    def merge(self, other: RunningStats) -> RunningStats:
        """The statistics of both streams together."""
        weight = self.weight + other.weight
        if weight == 0:
            return RunningStats(self.count + other.count)
        share, gap = other.weight / weight, other.mean - self.mean
        m2 = self.m2 + other.m2 + gap * gap * self.weight * share
        return RunningStats(self.count + other.count, weight, self.mean + gap * share, m2)

    def decay(self, factor: float) -> RunningStats:
        """The same mean and variance with `factor` (0..1) times the weight against what comes next."""
        return RunningStats(self.count, self.weight * factor, self.mean, self.m2 * factor)

    @property
    def std(self) -> float:
        """Population standard deviation; 0.0 for fewer than two values."""
        return math.sqrt(self.m2 / self.weight) if self.weight > 0 else 0.0

    def z_scores(self, values: Sequence[float]) -> list[float]:
        """Distances from the mean in standard deviations; all 0.0 where there is no spread."""
        std = self.std
        return [(value - self.mean) / std if std >= NO_SPREAD else 0.0 for value in values]

    def save(self, path: str | Path) -> None:
        """Write to `path` so that a reader, or a crash, sees the old file or the new one, never a part.

        Raises:
            ConfigError: the file cannot be written.
        """
        with replacing(Path(path), "normalize.state_path") as draft:
            draft.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> RunningStats:
        """Read what `save` wrote; a file that is not there yet is a fresh start.

        Raises:
            ConfigError: the file cannot be read or is no such state.
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
        return cls(**state.model_dump())


class _State(BaseModel):
    """The file's content: every field of `RunningStats`, within bounds that keep all rewards finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    count: int = Field(ge=0)
    weight: float = Field(ge=0)
    mean: float = Field(ge=0, le=MAX_SCORE)
    m2: float = Field(ge=0)
