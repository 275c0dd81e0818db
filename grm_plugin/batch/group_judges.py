"""Two ways to have a group judged: by the service's core in this process, or by a running service."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from grm_plugin.batch.engine_failures import failure_of
from grm_plugin.batch.local_engines import running_engines
from grm_plugin.client import Client
from grm_plugin.config import Config
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.schemas import ScoreRequest, WireGroup, WireJudgement

JudgeGroup = Callable[[WireGroup], Awaitable[WireJudgement]]
"""A function that judges one group."""


def without_limit(config: Config) -> Config:
    """The configuration with no limit on groups that wait: a caller in the same process bounds them, and has no way to
    come back later as over HTTP."""
    unbounded = config.service.model_copy(update={"max_waiting": sys.maxsize})
    return config.model_copy(update={"service": unbounded})


@asynccontextmanager
async def in_process(config: Config) -> AsyncIterator[JudgeGroup]:
    """Judges with the engines and the service's core in this process, without HTTP and without Ray.

    Raises:
        EngineError: a model cannot be loaded.
        PromptError, ConfigError, StoreError: as `RewardService` raises them.
    """
    config = without_limit(config)
    with running_engines(config) as (generator, meta_rm):
        service = RewardService(config, generator, meta_rm)
        try:

            async def judge(group: WireGroup) -> WireJudgement:
                return (await service.judge_groups(ScoreRequest(groups=[group]))).judgements[0]

            yield judge
        finally:
            await service.close()


@asynccontextmanager
async def over_http(url: str, concurrency: int, timeout_s: float) -> AsyncIterator[JudgeGroup]:
    """Asks the service at `url`: at most `concurrency` groups at once, at most `timeout_s` seconds for each."""
    async with Client(url, timeout_s=timeout_s, max_concurrency=concurrency) as client:

        async def judge(group: WireGroup) -> WireJudgement:
            return (await client.ajudge([group], detail=True))[0]

        yield judge


def failure_of_judgement(judgement: WireJudgement) -> str:
    """What the engine failed with, if a reward of the group is missing because of that; else an empty string."""
    if all(reward.status != "no_votes" for reward in judgement.rewards):
        return ""
    if not judgement.unparsed:
        return "the judge was late (failure.deadline_s)"
    return failure_of(judgement.unparsed)
