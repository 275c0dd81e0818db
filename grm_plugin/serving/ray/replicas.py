"""The actors in which models run, on GPUs of their own: a replica of the GRM judges lists, one of the meta RM rates.

Ray starts a replica again when its process ends, on another node if need be. So a replica ends its own process when it
is of no use any more: its model hangs or is gone, or it is frozen (`own_process.py`).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import ray

from grm_plugin import __version__
from grm_plugin._util.concurrency import unless_cancelled_within
from grm_plugin._util.deadline import Deadline
from grm_plugin._util.own_environment import was_set_at_start
from grm_plugin.config import Config, replicas_of
from grm_plugin.engines.build import build_generator, build_meta_rm, check_engine_can
from grm_plugin.errors import EngineError
from grm_plugin.judging.lists import ListJudge
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.judging.seams import MetaRM, Wanted
from grm_plugin.serving.probing import PROBE
from grm_plugin.serving.ray.engine_watchdog import Watchdog
from grm_plugin.serving.ray.own_process import guard_this_process, starting
from grm_plugin.serving.ray.remote_meta_rm import RemoteMetaRM
from grm_plugin.serving.ray.replica_pool import ReplicaPool
from grm_plugin.types import AnswerLine, Completion, Conversation, Group, ListJudgement, Prompt, Sampling

logger = logging.getLogger(__name__)

T = TypeVar("T")

HUNG_AFTER_S = 170.0
"""A model that has work and answers nothing for so long counts as hung, unless its longest critiques take longer."""

SLOWEST_TOKENS_PER_S = 5.0
"""Tokens per second of one critique, while hundreds are written at once, below which a model is too slow to be used."""

HEALTH_PERIOD_S = 2.0
HEALTH_TIMEOUT_S = 10.0
THREADS = "OMP_NUM_THREADS"

FAILED_CHECKS = 3
"""A replica whose model fails so many health checks in a row ends."""


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """What a replica says of itself.

    Attributes:
        gpus: the ids of its GPUs on its node, as Ray counts them.
        requests: calls that its model has now: of the GRM one per order of a list, of the meta RM one per list.
        kv_cache: share of the KV cache that is in use, 0 to 1; None where the engine does not say.
    """

    gpus: tuple[str, ...]
    requests: int
    kv_cache: float | None


class _Replica:
    """What the replicas of the GRM and of the meta RM have in common: a model that is watched.

    Args:
        start: starts the model; vLLM must be started on the event loop on which it is used.
        max_concurrency: most requests that the model gets at once; further ones wait.
        hung_after_s: see `Watchdog`.
    """

    def __init__(self, start: Callable[[], Any], max_concurrency: int, hung_after_s: float) -> None:
        see_assigned_gpus()
        forget_rays_threads()
        self._guard = guard_this_process()  # before the model starts processes of its own
        self._watchdog = Watchdog(hung_after_s)
        self._places = asyncio.Semaphore(max_concurrency)
        self._model = start()
        self._health = asyncio.create_task(self._check_health())

    async def ping(self) -> str:
        """The version of grm_plugin in this process, once it has started."""
        return __version__

    async def load(self) -> ReplicaLoad:
        """What it works on."""
        gpus = tuple(map(str, ray.get_gpu_ids()))
        return ReplicaLoad(gpus, self._watchdog.under_way, getattr(self._model, "kv_cache_use", None))

    async def _call_model(self, work: Awaitable[T]) -> T:
        """The result of a call to the model. Ends this process if the call failed because the model's process is gone.

        Ray replaces a dead replica at once, and its requests are sent to others. A replica whose model is gone would
        go on failing requests until its health checks have failed often enough.
        """
        try:
            return await unless_cancelled_within(self._watchdog.watch(work), "the model")
        except EngineError:
            try:
                await self._model.check_health()
            except EngineError as unhealthy:
                _end(unhealthy)
            raise

    async def _check_health(self) -> None:
        """End this process when the model hangs, or its process is gone."""
        failed = 0
        while True:
            await asyncio.sleep(HEALTH_PERIOD_S)
            try:
                self._watchdog.check()
                async with asyncio.timeout(HEALTH_TIMEOUT_S):
                    await self._model.check_health()
                failed = 0
            except Exception as error:  # whatever the model raises, it is not well
                failed += 1
                if failed == FAILED_CHECKS:
                    _end(error)


class EngineReplica(_Replica):
    """A replica of the GRM, which judges lists. It is the `Generator` of its judge.

    Args:
        config: the whole configuration.
        id: what its callers call this replica.
        prompts: with the templates as the service has read them, whose files may be on another machine.
        meta_rm: the actors of the meta RM; empty where it runs here, or there is none.
    """

    def __init__(self, id: str, config: Config, prompts: PromptBuilder, meta_rm: Mapping[str, Any]) -> None:
        with starting():
            self._id = id
            check_engine_can(config)
            engine: Any = config.engine
            super().__init__(lambda: build_generator(engine), engine.max_concurrency, hung_after_s(config))
            self._lists = ListJudge(config, self, meta_rm_of(config, meta_rm), prompts=prompts)

    async def judge(self, group: Group, wanted: Wanted, left_s: float | None) -> ListJudgement:
        """The votes on a group, put before the GRM as one list. See `ListJudge.judge`.

        Votes that are not in after `left_s` seconds are lost.
        """
        members = tuple(range(len(group.responses)))
        judged = await self._lists.judge(group, members, Deadline.after(left_s), wanted)
        return replace(judged, judged_by=self._id)

    async def probe(self, sampling: Sampling) -> list[Completion]:
        """The GRM's answer to `PROBE`, which waits behind no other request here."""
        completions: list[Completion] = await self._call_model(self._model.generate(PROBE, sampling))
        return completions

    async def generate(self, prompt: Prompt, sampling: Sampling) -> list[Completion]:
        """See `Generator.generate`."""
        async with self._places:
            completions: list[Completion] = await self._call_model(self._model.generate(prompt, sampling))
            return completions

    async def continue_text(
        self, prompt: Prompt, begun: Completion, line: AnswerLine, sampling: Sampling
    ) -> Completion:
        """See `Continues.continue_text`."""
        async with self._places:
            behind: Completion = await self._call_model(self._model.continue_text(prompt, begun, line, sampling))
            return behind


class MetaRMReplica(_Replica):
    """A replica of the meta RM of a configuration. `id` is what its callers call it."""

    def __init__(self, id: str, config: Config) -> None:
        with starting():
            section: Any = config.meta_rm
            super().__init__(lambda: build_meta_rm(section), section.max_concurrency, hung_after_s(config))

    async def rate(self, conversations: Sequence[Conversation]) -> list[float]:
        """See `MetaRM.rate`."""
        async with self._places:
            logits: list[float] = await self._call_model(self._model.rate(conversations))
            return logits


def requests_per_replica(config: Config) -> int:
    """Requests, one per order of a list, that a replica of the GRM gets at once from each process of the service."""
    engine: Any = config.engine
    return max(1, -(-int(engine.max_concurrency) // config.service.replicas))


def meta_rm_of(config: Config, handles: Mapping[str, Any]) -> MetaRM | None:
    """The meta RM of a configuration: these actors, or one in this process; None where there is none."""
    if config.meta_rm is None:
        return None
    if replicas_of(config.meta_rm):
        return RemoteMetaRM(ReplicaPool(handles, config.meta_rm.max_concurrency))
    return build_meta_rm(config.meta_rm)


def hung_after_s(config: Config) -> float:
    """Seconds without an answer after which a model counts as hung, however slow it is.

    At most the deadline: by then all callers have hung up, so that a longer silence cannot be told from a hang.
    """
    longest_s = config.sampling.max_tokens / SLOWEST_TOKENS_PER_S
    return min(config.failure.deadline_s, max(HUNG_AFTER_S, longest_s))


def see_assigned_gpus() -> None:
    """Set CUDA_VISIBLE_DEVICES to the GPUs of this replica; to be called before anything looks for a GPU.

    Ray does so itself, unless RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES is set: then every replica would take GPU 0.
    """
    gpus = ray.get_gpu_ids()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))


def forget_rays_threads() -> None:
    """Leave the number of threads to vLLM, unless the user has set OMP_NUM_THREADS; to be called before it is imported.

    Ray sets it to 1 in an actor that reserves less than two CPUs, and vLLM takes that for the user's wish: it would
    load weights and compile in one thread.
    """
    if not was_set_at_start(THREADS):
        os.environ.pop(THREADS, None)


def _end(error: BaseException) -> None:
    logger.error("ending this replica: %s", error)
    os._exit(1)
