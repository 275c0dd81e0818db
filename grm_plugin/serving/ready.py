"""The reply of `/ready`: whether a service can judge, and what a hook should know of it before it asks."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from grm_plugin.config import Config, FailureConfig
from grm_plugin.config_models import replicas_of
from grm_plugin.serving.schemas import WireModel

GROUP = 8
"""Samples of a prompt where a hook does not know: what GRPO jobs mostly take."""

FEWEST_CALLS, MOST_CALLS = 64, 512
"""Bounds for the calls of a hook. Each has a connection, and a process may often have 1,024 files open."""


class Ready(WireModel):
    """Whether the GRM answers."""

    model_config = ConfigDict(extra="ignore")  # of a newer service: it can judge all the same

    ready: bool
    """True when the GRM answers."""
    problem: str
    """Why it does not; empty when it does."""
    deadline_s: float = 170.0
    """Every answer of the service comes within this time: `failure.deadline_s`."""
    policy: Literal["group_mean", "constant", "raise"] = "group_mean"
    """`failure.policy`, which hooks follow while the service is down."""
    constant: float = 0.5
    """`failure.constant`."""
    max_concurrency: int = 256
    """Requests to the GRM in flight: `engine.max_concurrency` times `engine.replicas`."""

    @classmethod
    def of(cls, config: Config, problem: str) -> Ready:
        """What a service with this configuration says; `problem` as above."""
        return cls(
            ready=not problem,
            problem=problem,
            deadline_s=config.failure.deadline_s,
            policy=config.failure.policy,
            constant=config.failure.constant,
            max_concurrency=config.engine.max_concurrency * max(1, replicas_of(config.engine)),
        )

    def failure(self, own: FailureConfig | None = None) -> FailureConfig:
        """What a hook does while the service is down: what its `own` settings set, and the service's for the rest."""
        set_here = own.model_dump(exclude_unset=True) if own else {}
        said = {"policy": self.policy, "constant": self.constant}
        return FailureConfig.model_validate(said | set_here | {"deadline_s": self.deadline_s})

    def calls(self, n: int | None = None) -> int:
        """How many groups of n a hook should have in flight.

        By default a response takes about one request to the GRM. So these groups make twice the requests that the GRM
        works on: the next ones are there when one ends. More would wait inside the service, where `deadline_s` counts.
        """
        return min(MOST_CALLS, max(FEWEST_CALLS, 2 * self.max_concurrency // (n or GROUP)))
