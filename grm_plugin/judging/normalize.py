"""From the mean of the kept votes (1..10) to the reward.

    none      the mean itself
    unit      (mean - 1) / 9, in [0, 1]
    group     z-score inside the group, population standard deviation
    running   z-score over all means learnt from so far, this group's included
    rank      rank inside the group in [0, 1], 1 = best; ties share their average rank, a single value gets 0.5

Where there is no spread (a single value, or a standard deviation below 1e-8) every z-score is 0.0. So is one of method
`running` while nothing has been learnt from: evaluation, which it does not learn from, gets 0.0 before training begins.
Missing means (None) stay None and count nowhere. What comes out is always finite.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import suppress

from grm_plugin.config import NormalizeConfig
from grm_plugin.errors import ConfigError
from grm_plugin.judging.running_stats import RunningStats
from grm_plugin.types import MAX_SCORE, MIN_SCORE

logger = logging.getLogger(__name__)


class Normalizer:
    """Turns means into rewards by the configured method; holds the statistics of method `running`.

    Raises:
        ConfigError: `state_path` names a file that is no saved state.
    """

    def __init__(self, config: NormalizeConfig) -> None:
        self.config = config
        self.stats = RunningStats.load(str(config.state_path)) if self.saves else RunningStats()
        self.news = RunningStats()
        """What was learnt here since somebody took it away: what other processes do not know of yet."""

    def normalize(self, means: Sequence[float | None], learn: bool = True) -> list[float | None]:
        """Rewards of one group, in its order; None where there is no mean.

        Method `running` learns from the group, unless `learn` is False: then it is held against what was learnt before.

        Raises:
            ValueError: a mean outside 1..10 (NaN included), which no vote can give.
        """
        values = [mean for mean in means if mean is not None]
        for value in values:
            if not MIN_SCORE <= value <= MAX_SCORE:
                raise ValueError(f"a mean of votes is in {MIN_SCORE}..{MAX_SCORE}, got {value}")
        rewards = iter(self._clip(reward) for reward in self._rewards(values, learn))
        return [None if mean is None else next(rewards) for mean in means]

    def beside(self, means: Sequence[float | None]) -> list[float | None]:
        """As `normalize`, of one criterion's means: nothing is learnt, and method `running` takes the group's z-scores,
        because criteria come and go with the samples."""
        values = [mean for mean in means if mean is not None]
        if self.config.method == "running":
            found = RunningStats.of(values).z_scores(values)
        else:
            found = self._rewards(values, learn=False)
        rewards = iter(self._clip(reward) for reward in found)
        return [None if mean is None else next(rewards) for mean in means]

    @property
    def saves(self) -> bool:
        """Whether there is a state that should survive a restart."""
        return self.config.method == "running" and self.config.state_path is not None

    def save(self) -> None:
        """Write the running statistics to `state_path`; nothing to do for other methods or without a path."""
        if self.saves:
            self.stats.save(str(self.config.state_path))

    def _rewards(self, values: list[float], learn: bool) -> list[float]:
        match self.config.method:
            case "none":
                return values
            case "unit":
                return [to_unit_interval(value) for value in values]
            case "group":
                return RunningStats.of(values).z_scores(values)
            case "running":
                if learn:
                    learnt = RunningStats.of(values)
                    self.stats, self.news = self.stats.merge(learnt), self.news.merge(learnt)
                return self.stats.z_scores(values)
            case "rank":
                return _ranks(values)

    def _clip(self, reward: float) -> float:
        clip = self.config.clip
        return reward if clip is None else max(-clip, min(clip, reward))


def set_aside_if_damaged(config: NormalizeConfig) -> None:
    """Rename a saved state that cannot be read, so that a service which must come back starts its statistics afresh."""
    try:
        Normalizer(config)
    except ConfigError as error:
        damaged = f"{config.state_path}.damaged"
        logger.error("the running statistics start afresh, the file is now %s: %s", damaged, error)
        with suppress(OSError):  # what cannot be moved either is told by the constructor
            os.replace(str(config.state_path), damaged)


def to_unit_interval(mean: float) -> float:
    """A mean of scores (1..10) mapped to [0, 1]."""
    return (mean - MIN_SCORE) / (MAX_SCORE - MIN_SCORE)


def from_unit_interval(unit: float) -> float:
    """A number in [0, 1] mapped to the scale of scores (1..10)."""
    return MIN_SCORE + (MAX_SCORE - MIN_SCORE) * unit


def _ranks(values: list[float]) -> list[float]:
    if len(values) < 2:
        return [0.5] * len(values)
    ordered, top = sorted(values), len(values) - 1
    return [(bisect_left(ordered, value) + bisect_right(ordered, value) - 1) / 2 / top for value in values]
