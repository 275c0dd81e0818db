"""The Ray Serve application: Engine and MetaRM replicas on GPUs of their own, one RewardService in front.

    HTTP -> RewardService (CPU, exactly one: it gathers groups) -> Engine x replicas
                                                                -> MetaRM x replicas

A model without replicas (engine type openai, or fake) has no deployment: the RewardService asks it itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

import ray
from ray import serve
from ray.serve.config import RequestRouterConfig

from grm_plugin._util.process_guard import guard_children
from grm_plugin.config import AnyMetaRMConfig, Config, FakeConfig, OpenAIConfig, VLLMConfig, replicas_of
from grm_plugin.engines.build import build_generator, build_meta_rm
from grm_plugin.errors import EngineError
from grm_plugin.judging.normalize import set_aside_if_damaged
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.ray.gpus import CPUS_PER_REPLICA, gpus_per_replica
from grm_plugin.serving.ray.watchdog import Watchdog
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Conversation, Prompt, Sampling
from grm_plugin.wire.schemas import GetRewardReply, GetRewardRequest, ScoreReply, ScoreRequest
from grm_plugin.wire.token import Token

logger = logging.getLogger(__name__)

T = TypeVar("T")

INGRESS = "RewardService"
"""Name of the deployment that takes the requests."""

SPARE_REQUESTS = 1024

FROZEN_S = 60.0
"""A replica that stands still is killed after this time, when Serve has replaced it."""

HUNG_AFTER_S = 170.0
"""A model that has work and answers nothing for so long hangs, if its longest critiques take no longer."""

SLOWEST_TOKENS_PER_S = 5.0
"""Of one critique among the hundreds that are written at once; no slower model is of use."""

REPLICA_LOOK_S = 10.0
"""Seconds between two looks at the replicas' states."""

OPTIONS: dict[str, Any] = {
    # A model that does not load will not load the next time either: fail the start, with its reason.
    "max_constructor_retry_count": 1,
    "health_check_period_s": 2.0,
    # Three in a row replace a replica, such as one frozen for half a minute. Requests do not wait so long (routing.py).
    "health_check_timeout_s": 10.0,
    "graceful_shutdown_wait_loop_s": 0.5,
    "graceful_shutdown_timeout_s": 5.0,
}


class _Replica:
    """What the replicas of the GRM and of the meta RM have in common."""

    _model: Any
    _watchdog: Watchdog

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises."""
        self._watchdog.check()
        await self._model.check_health()

    async def _use(self, work: Awaitable[T]) -> T:
        """Await a call to the model; end this process if it failed because the model's process is gone.

        Serve replaces a dead replica at once and its requests are tried again. A broken one would go on failing them
        until Serve's health checks have failed often enough.
        """
        try:
            return await self._watchdog.watch(work)
        except EngineError:
            try:
                await self._model.check_health()
            except EngineError as unhealthy:
                logger.error("ending this replica: %s", unhealthy)
                os._exit(1)
            raise


class EngineReplica(_Replica):
    """A replica of the GRM."""

    # A coroutine, because vLLM must be made on the event loop that it is used from.
    async def __init__(self, config: VLLMConfig | FakeConfig, hung_after_s: float) -> None:  # type: ignore[misc]
        _see_assigned_gpus()
        self._guard = guard_children(FROZEN_S)
        self._watchdog = Watchdog(hung_after_s)
        self._model: Any = build_generator(config)

    async def generate(self, prompt: Prompt, sampling: Sampling, attempt: int = 0) -> list[Completion]:
        """See `Generator.generate`; `attempt` is for the router."""
        completions: list[Completion] = await self._use(self._model.generate(prompt, sampling))
        return completions


class MetaRMReplica(_Replica):
    """A replica of the meta RM."""

    async def __init__(self, config: AnyMetaRMConfig, hung_after_s: float) -> None:  # type: ignore[misc]
        _see_assigned_gpus()
        self._guard = guard_children(FROZEN_S)
        self._watchdog = Watchdog(hung_after_s)
        self._model: Any = build_meta_rm(config)

    async def rate(self, conversations: Sequence[Conversation], attempt: int = 0) -> list[float]:
        """See `MetaRM.rate`; `attempt` is for the router."""
        logits: list[float] = await self._use(self._model.rate(conversations))
        return logits


def _see_assigned_gpus() -> None:
    """Have CUDA see the GPUs of this replica and no others; to be called before anything looks for a GPU.

    Ray does so itself, unless RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES is set: then every replica would take GPU 0.
    """
    gpus = ray.get_gpu_ids()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))


class _Current:
    """The reward service of this process, for the HTTP app, which Serve builds apart from it."""

    service: RewardService
    token: Token | None


def _http_app() -> Any:
    return create_app(lambda: _Current.service, lambda: _Current.token)


@serve.ingress(_http_app)
class RewardReplica:
    """The one RewardService of the application. Over a handle: `judge_groups` and `get_reward`."""

    async def __init__(  # type: ignore[misc]
        self, config: Config, engine: Any = None, meta_rm: Any = None, token: Token | None = None
    ) -> None:
        _Current.token = token
        set_aside_if_damaged(config.normalize)  # the start has refused such a file: here it would end in a crash loop
        _Current.service = self._service = RewardService(config, *_seams(config, engine, meta_rm))
        self._watching = asyncio.create_task(self._watch_replicas(serve.get_replica_context().app_name))

    async def get_reward(self, request: GetRewardRequest, n: int | None = None) -> GetRewardReply:
        """See `RewardService.get_reward`."""
        return await self._service.get_reward(request, n)

    async def judge_groups(self, request: ScoreRequest) -> ScoreReply:
        """See `RewardService.judge_groups`."""
        return await self._service.judge_groups(request)

    async def drain(self, patience_s: float) -> None:
        """See `RewardService.drain`."""
        await self._service.drain(patience_s)

    async def __del__(self) -> None:
        self._watching.cancel()
        await self._service.close()

    async def _watch_replicas(self, app: str) -> None:
        """Keep the replicas' states in the metrics."""
        while True:
            try:
                status = (await asyncio.to_thread(serve.status)).applications[app]
                self._service.metrics.set_replicas({name: d.replica_states for name, d in status.deployments.items()})
            except Exception as error:  # the controller restarts now and then; metrics must not end the service
                logger.warning("the states of the replicas are unknown: %s", error)
            await asyncio.sleep(REPLICA_LOOK_S)


def build_app(config: Config, cluster_gpus: float, token: Token | None = None) -> serve.Application:
    """The application of a configuration, on a cluster with that many GPUs; `token` is what its requests must carry."""
    engine = meta_rm = None
    hung_after_s = _hung_after_s(config)
    if not isinstance(config.engine, OpenAIConfig) and replicas_of(config.engine):
        engine = _deployment(EngineReplica, "Engine", config.engine, cluster_gpus, hung_after_s)
    if config.meta_rm is not None and replicas_of(config.meta_rm):
        meta_rm = _deployment(MetaRMReplica, "MetaRM", config.meta_rm, cluster_gpus, hung_after_s)
    service = serve.deployment(
        RewardReplica,
        name=INGRESS,
        num_replicas=1,
        # Above what the service admits: it is the service that refuses, and /health never queues behind rewards.
        max_ongoing_requests=config.service.max_waiting + SPARE_REQUESTS,
        ray_actor_options={"num_cpus": CPUS_PER_REPLICA},
        **OPTIONS,
    )
    return service.bind(config, engine, meta_rm, token)


def _hung_after_s(config: Config) -> float:
    """Never longer than the deadline: by then every caller of a slow model has left, too."""
    longest_s = config.sampling.max_tokens / SLOWEST_TOKENS_PER_S
    return min(config.failure.deadline_s, max(HUNG_AFTER_S, longest_s))


def _deployment(
    replica: type, name: str, model: VLLMConfig | FakeConfig, cluster_gpus: float, hung_after_s: float
) -> serve.Application:
    gpus = gpus_per_replica(model, cluster_gpus) if isinstance(model, VLLMConfig) else 0
    deployment = serve.deployment(
        replica,
        name=name,
        num_replicas=model.replicas,
        max_ongoing_requests=model.max_concurrency,
        ray_actor_options={"num_cpus": CPUS_PER_REPLICA, "num_gpus": gpus},
        request_router_config=RequestRouterConfig(
            request_router_class="grm_plugin.serving.ray.replica_router:LiveReplicasRouter"
        ),
        **OPTIONS,
    )
    return deployment.bind(model, hung_after_s)


def _seams(config: Config, engine: Any, meta_rm: Any) -> tuple[Generator, MetaRM | None]:
    from grm_plugin.serving.ray.remote_engines import RayGenerator, RayMetaRM

    generator = RayGenerator(engine) if engine is not None else build_generator(config.engine)
    if config.meta_rm is None:
        return generator, None
    return generator, RayMetaRM(meta_rm) if meta_rm is not None else build_meta_rm(config.meta_rm)
