"""Two ways to the judgement of one group: the service's core in this process, or a running service."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from grm_plugin.batch.local_engines import engines
from grm_plugin.client import Client
from grm_plugin.config import Config
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.schemas import ScoreRequest, WireGroup, WireJudgement

JudgeGroup = Callable[[WireGroup], Awaitable[WireJudgement]]
"""Judges one group."""


@asynccontextmanager
async def in_process(config: Config) -> AsyncIterator[JudgeGroup]:
    """The engines and the service's core, without HTTP and without Ray.

    Raises:
        EngineError: a model cannot be loaded.
        PromptError, ConfigError, StoreError: as `RewardService`.
    """
    # The caller bounds what is in flight; nobody could come back later as they can over HTTP.
    unbounded = config.service.model_copy(update={"max_waiting": sys.maxsize})
    config = config.model_copy(update={"service": unbounded})
    with engines(config) as (generator, meta_rm):
        service = RewardService(config, generator, meta_rm)
        try:

            async def judge(group: WireGroup) -> WireJudgement:
                return (await service.judge_groups(ScoreRequest(groups=[group]))).judgements[0]

            yield judge
        finally:
            await service.close()


@asynccontextmanager
async def over_http(url: str, concurrency: int, timeout_s: float) -> AsyncIterator[JudgeGroup]:
    """The service at `url`, asked for at most `concurrency` groups at once, each for at most `timeout_s` seconds."""
    async with Client(url, timeout_s=timeout_s, max_concurrency=concurrency) as client:

        async def judge(group: WireGroup) -> WireJudgement:
            return (await client.ajudge([group]))[0]

        yield judge
