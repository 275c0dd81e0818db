"""Reads OpenRLHF's log while a job runs: one `Step` per training step."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

# As OpenRLHF logs them (trainer/ppo_trainer.py, trainer/ppo_trainer_async.py), after a logger's and Ray's prefixes.
_STEP = re.compile(r"Global step (?P<number>\d+): \{(?P<status>.*)\}")
_SCALAR = re.compile(r"'(?P<name>[^']+)': (?P<value>[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf))(?=,|$)")


@dataclass(frozen=True)
class Step:
    """What OpenRLHF logged about one training step."""

    number: int
    """Counts from 1."""

    values: Mapping[str, float]
    """All scalars of the step, under OpenRLHF's own names; NaN and infinity included."""

    @property
    def reward(self) -> float:
        """Mean reward of the step's samples; NaN when it was not logged."""
        return self.values.get("reward", math.nan)

    @property
    def vllm_kl(self) -> float:
        """Mean difference between the rollout engine's and the trainer's log-probabilities of the samples (nats).

        Near 0 when the weight sync works. NaN when the engine's weights are garbage, or when it was not logged:
        OpenRLHF logs it with `--algo.advantage.is_correction_level token` only.
        """
        return self.values.get("vllm_kl", math.nan)

    @property
    def seconds(self) -> float:
        """Duration of the step; NaN when it was not logged."""
        return self.values.get("timing/step_total", math.nan)


def parse_step(line: str) -> Step | None:
    """The step that a line of OpenRLHF's log reports, or None for every other line."""
    match = _STEP.search(line)
    if match is None:
        return None
    scalars = _SCALAR.finditer(match["status"])
    return Step(int(match["number"]), {scalar["name"]: float(scalar["value"]) for scalar in scalars})
