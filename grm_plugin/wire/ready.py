"""The reply of `/ready`: whether a service can judge, and what a hook should know of it before it asks."""

from __future__ import annotations

import resource
from typing import Literal

from pydantic import Field

from grm_plugin.config import Config, FailureConfig, lone_response, replicas_of
from grm_plugin.errors import ConfigError
from grm_plugin.wire.schemas import WireReply

USUAL_SAMPLES_PER_PROMPT = 8
"""What GRPO jobs mostly take, for hooks that are not told."""

FEWEST_GROUPS_IN_FLIGHT = 64
"""Of a job, however few the GRM's replicas are."""

MOST_GROUPS_IN_FLIGHT = 4096
"""Of a process; fewer where it may not open twice as many files: each group has a connection."""

PROCESSES_UNTOLD = 8
"""Processes of a job that send groups, where nothing says how many there are."""

OPENRLHF_DEADLINE_S = 170.0
"""For `/get_reward`: OpenRLHF gives up its HTTP call, and loses the samples, after 180 s (openrlhf/utils/agent.py)."""


class Ready(WireReply):
    """Whether the GRM answers, and the meta RM where there is one."""

    ready: bool
    """True when they answer."""
    problem: str
    """Which of them does not, and why; empty when they do."""
    refused: bool = False
    """True when the GRM's server refuses all requests: a wrong key or model, which waiting does not mend."""
    deadline_s: float = 170.0
    """Every answer of the service comes within this time: `failure.deadline_s`."""
    policy: Literal["group_mean", "constant", "raise"] | None = None
    """`failure.policy`, which hooks follow while the service is down."""
    constant: float | None = None
    """`failure.constant`."""
    criteria: dict[str, float] = Field(default_factory=dict)
    """The weight of each of `judge.criteria`, by its name; each has a column in the log."""
    method: str | None = None
    """`normalize.method`; null from an older service."""
    max_concurrency: int = 256
    """Requests to the GRM in flight: `engine.max_concurrency` times `engine.replicas`."""

    @classmethod
    def of(cls, config: Config, problem: str, refused: bool = False) -> Ready:
        """What a service with this configuration says; `problem` and `refused` as above."""
        return cls(
            ready=not problem,
            problem=problem,
            refused=refused,
            deadline_s=config.failure.deadline_s,
            policy=config.failure.policy,
            constant=config.failure.constant,
            criteria={item.name: abs(item.weight) for item in config.judge.criteria},
            method=config.normalize.method,
            max_concurrency=config.engine.max_concurrency * max(1, replicas_of(config.engine)),
        )

    def failure(self, own: FailureConfig | None = None) -> FailureConfig:
        """What a hook does while the service is down: what its `own` settings set, and the service's for the rest."""
        own = own or FailureConfig()
        said = self.model_dump(include={"policy", "constant"}, exclude_none=True)  # an older service says neither
        set_here = own.model_dump(exclude_unset=True)
        return FailureConfig.model_validate(own.model_dump() | said | set_here | {"deadline_s": self.deadline_s})

    def groups_in_flight(self, n: int | None = None, processes: int | None = 1) -> int:
        """How many groups of n samples each process of a job should have in flight, where `processes` of them send any.

        By default a response takes about one request to the GRM. So these groups make twice the requests that the GRM
        works on: the next ones are there when one ends. More would wait inside the service, where `deadline_s` counts.
        Where the number of processes is not told (None), each has at least `FEWEST_GROUPS_IN_FLIGHT`.
        """
        of_job = max(FEWEST_GROUPS_IN_FLIGHT, 2 * self.max_concurrency // (n or USUAL_SAMPLES_PER_PROMPT))
        groups = -(-of_job // (processes or PROCESSES_UNTOLD))
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MOST_GROUPS_IN_FLIGHT if files == resource.RLIM_INFINITY else min(MOST_GROUPS_IN_FLIGHT, files // 2)
        return max(1, min(groups if processes else max(groups, FEWEST_GROUPS_IN_FLIGHT), most))


def require_siblings(method: str | None, n: int, key: str) -> None:
    """To be called by a hook before a job trains on n samples per prompt, as the job's setting `key` says.

    Args:
        method: the service's `normalize.method`; None where it is not known.
        n: samples per prompt.
        key: what sets it.

    Raises:
        ConfigError: n is 1, and the method compares siblings.
    """
    problem = lone_response(method, n)
    if problem:
        raise ConfigError(f"{problem}: set {key} to 2 or more (it is {n}), or the service's normalize.method to unit")
