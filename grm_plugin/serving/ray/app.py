"""The Ray Serve application: which actors the service consists of, and what each of them does.

    HTTP -> RewardService (CPU, exactly one: it gathers groups) -> Engine x replicas  (the GRM, on GPUs of their own)
                                                                -> MetaRM x replicas  (likewise)

An engine without replicas (type openai, or fake) runs in the RewardService's own process.
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

from grm_plugin._util.concurrency import unless_cancelled_within
from grm_plugin._util.garbage import collect_rarely
from grm_plugin._util.process_guard import guard_children
from grm_plugin.config import AnyMetaRMConfig, Config, FakeConfig, OpenAIConfig, VLLMConfig, replicas_of
from grm_plugin.engines.build import build_generator, build_meta_rm
from grm_plugin.errors import EngineError
from grm_plugin.judging.normalize import set_aside_if_damaged
from grm_plugin.judging.seams import Generator, MetaRM
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.ray.engine_watchdog import Watchdog
from grm_plugin.serving.ray.gpus import CPUS_PER_REPLICA, gpus_per_replica
from grm_plugin.serving.ray.remote_engines import RayGenerator, RayMetaRM
from grm_plugin.serving.service import RewardService
from grm_plugin.types import Completion, Conversation, Prompt, Sampling
from grm_plugin.wire.schemas import GetRewardReply, GetRewardRequest, ScoreReply, ScoreRequest
from grm_plugin.wire.token import Token

logger = logging.getLogger(__name__)

T = TypeVar("T")

INGRESS = "RewardService"
"""Name of the deployment that takes the requests."""

SPARE_REQUESTS = 1024
"""Requests that Serve lets into the RewardService beyond `service.max_waiting`."""

FROZEN_S = 60.0
"""A replica that is frozen for so long is killed (`guard_children`): Serve has replaced it by then, not ended it."""

HUNG_AFTER_S = 170.0
"""A model that has work and answers nothing for so long counts as hung, unless its longest critiques take longer."""

SLOWEST_TOKENS_PER_S = 5.0
"""Tokens per second of one critique, while hundreds are written at once, below which a model is too slow to be used."""

REPLICA_STATES_PERIOD_S = 10.0
"""Pause between two readings of the replicas' states for the metrics."""

DEPLOYMENT_OPTIONS: dict[str, Any] = {
    # A model that does not load will not load the next time either: the start fails, with the model's reason.
    "max_constructor_retry_count": 1,
    "health_check_period_s": 2.0,
    # Serve replaces a replica after three failed health checks in a row: one that is frozen, after half a minute.
    # Requests do not wait so long for it: see replica_watch.py.
    "health_check_timeout_s": 10.0,
    "graceful_shutdown_wait_loop_s": 0.5,
    "graceful_shutdown_timeout_s": 5.0,
}


class _Replica:
    """What the replicas of the GRM and of the meta RM have in common.

    Args:
        config: the model's section of the configuration.
        hung_after_s: see `Watchdog`.
    """

    # A coroutine: vLLM must be started on the event loop on which it is used.
    async def __init__(self, config: Any, hung_after_s: float) -> None:  # type: ignore[misc]
        _see_assigned_gpus()
        self._guard = guard_children(FROZEN_S)
        self._watchdog = Watchdog(hung_after_s)
        self._model = self._load(config)

    def _load(self, config: Any) -> Any:
        raise NotImplementedError

    async def check_health(self) -> None:
        """Called by Serve, which replaces the replica when this raises three times in a row.

        Raises:
            EngineError: the model hangs, or its process is gone.
        """
        self._watchdog.check()
        await self._model.check_health()

    async def _call_model(self, work: Awaitable[T]) -> T:
        """The result of a call to the model. Ends this process if the call failed because the model's process is gone.

        Serve replaces a dead replica at once, and its requests are sent to others. A replica whose model is gone would
        go on failing requests until Serve's health checks have failed often enough.
        """
        try:
            return await unless_cancelled_within(self._watchdog.watch(work), "the model")
        except EngineError:
            try:
                await self._model.check_health()
            except EngineError as unhealthy:
                logger.error("ending this replica: %s", unhealthy)
                os._exit(1)
            raise


class EngineReplica(_Replica):
    """A replica of the GRM."""

    def _load(self, config: VLLMConfig | FakeConfig) -> Any:
        return build_generator(config)

    async def generate(self, prompt: Prompt, sampling: Sampling, attempt: int = 0) -> list[Completion]:
        """See `Generator.generate`; `attempt` is read by `replica_router.py` only."""
        completions: list[Completion] = await self._call_model(self._model.generate(prompt, sampling))
        return completions


class MetaRMReplica(_Replica):
    """A replica of the meta RM."""

    def _load(self, config: AnyMetaRMConfig) -> Any:
        return build_meta_rm(config)

    async def rate(self, conversations: Sequence[Conversation], attempt: int = 0) -> list[float]:
        """See `MetaRM.rate`; `attempt` is read by `replica_router.py` only."""
        logits: list[float] = await self._call_model(self._model.rate(conversations))
        return logits


def _see_assigned_gpus() -> None:
    """Set CUDA_VISIBLE_DEVICES to the GPUs of this replica; to be called before anything looks for a GPU.

    Ray does so itself, unless RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES is set: then every replica would take GPU 0.
    """
    gpus = ray.get_gpu_ids()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))


class _OfThisProcess:
    """The reward service of this process. Serve makes the HTTP app before the replica, and the app finds it here."""

    service: RewardService
    token: Token | None


def _http_app() -> Any:
    return create_app(lambda: _OfThisProcess.service, lambda: _OfThisProcess.token)


@serve.ingress(_http_app)
class RewardReplica:
    """The actor of the RewardService. It answers HTTP requests and, over a Serve handle, its public methods."""

    async def __init__(  # type: ignore[misc]
        self, config: Config, engine: Any = None, meta_rm: Any = None, token: Token | None = None
    ) -> None:
        _OfThisProcess.token = token
        # Damaged statistics end the start of a service with an error (`ServeApp.deploy`). Here Serve may be bringing a
        # dead service back, and every attempt would fail: so they are moved away.
        set_aside_if_damaged(config.normalize)
        _OfThisProcess.service = self._service = RewardService(config, *_engines(config, engine, meta_rm))
        collect_rarely()
        self._state_reader = asyncio.create_task(self._read_replica_states(serve.get_replica_context().app_name))

    async def get_reward(self, request: GetRewardRequest, n: int | None = None, learn: bool = True) -> GetRewardReply:
        """See `RewardService.get_reward`."""
        return await self._service.get_reward(request, n, learn)

    async def judge_groups(self, request: ScoreRequest) -> ScoreReply:
        """See `RewardService.judge_groups`."""
        return await self._service.judge_groups(request)

    async def drain(self, patience_s: float) -> None:
        """See `RewardService.drain`."""
        await self._service.drain(patience_s)

    async def __del__(self) -> None:
        self._state_reader.cancel()
        await self._service.close()

    async def _read_replica_states(self, app: str) -> None:
        """Keep the metric of the replicas' states up to date."""
        while True:
            try:
                status = (await asyncio.to_thread(serve.status)).applications[app]
                self._service.metrics.set_replicas({name: d.replica_states for name, d in status.deployments.items()})
            except Exception as error:  # Serve's controller may be restarting; a metric must not end the service
                logger.warning("the states of the replicas are unknown: %s", error)
            await asyncio.sleep(REPLICA_STATES_PERIOD_S)


def build_app(config: Config, cluster_gpus: float, token: Token | None = None) -> serve.Application:
    """The Serve application of a configuration.

    Args:
        config: which engines there are, and the service's own settings.
        cluster_gpus: GPUs of the cluster, taken ones included; without any, a CPU build of vLLM reserves none.
        token: what requests must carry.
    """
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
        # More than the service admits: it refuses requests itself, and /health does not wait behind those for rewards.
        max_ongoing_requests=config.service.max_waiting + SPARE_REQUESTS,
        ray_actor_options={"num_cpus": CPUS_PER_REPLICA},
        **DEPLOYMENT_OPTIONS,
    )
    return service.bind(config, engine, meta_rm, token)


def _hung_after_s(config: Config) -> float:
    """Seconds without an answer after which a model counts as hung, however slow it is.

    At most the deadline: by then all callers have hung up, so that a longer silence cannot be told from a hang.
    """
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
        **DEPLOYMENT_OPTIONS,
    )
    return deployment.bind(model, hung_after_s)


def _engines(config: Config, engine: Any, meta_rm: Any) -> tuple[Generator, MetaRM | None]:
    """The GRM and the meta RM for the RewardService: behind these Serve handles, or else in this process."""
    generator = RayGenerator(engine) if engine is not None else build_generator(config.engine)
    if config.meta_rm is None:
        return generator, None
    return generator, RayMetaRM(meta_rm) if meta_rm is not None else build_meta_rm(config.meta_rm)
