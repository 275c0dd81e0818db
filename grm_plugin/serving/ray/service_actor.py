"""The actor of the reward service: it listens for HTTP requests, and sends lists to the replicas of the GRM.

    HTTP -> RewardActor (CPU; service.replicas of them, and each gathers its share of the prompts)
              -> EngineReplica x replicas: they judge lists (the GRM, on GPUs of its own, with the judge beside it)
                   -> MetaRMReplica x replicas (likewise)

An engine without replicas (type openai, or fake) runs in the actor's own process, and lists are judged there.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn

from grm_plugin import __version__
from grm_plugin._util.garbage import collect_rarely
from grm_plugin.config import Config, EngineConfig, OpenAIConfig
from grm_plugin.engines.build import build_generator
from grm_plugin.judging.normalize import set_aside_if_damaged
from grm_plugin.serving.http.app import create_app
from grm_plugin.serving.http.served import Served
from grm_plugin.serving.processes.front import Front
from grm_plugin.serving.ray.held_socket import take
from grm_plugin.serving.ray.own_process import guard_this_process, starting
from grm_plugin.serving.ray.remote_lists import RemoteLists
from grm_plugin.serving.ray.remote_meta_rm import RemoteMetaRM
from grm_plugin.serving.ray.replica_pool import PoolLoad, ReplicaPool
from grm_plugin.serving.ray.replicas import meta_rm_of, requests_per_replica
from grm_plugin.serving.service import RewardService
from grm_plugin.wire.schemas import GetRewardReply, GetRewardRequest, ScoreReply, ScoreRequest
from grm_plugin.wire.token import Token

logger = logging.getLogger(__name__)

STATES_PERIOD_S = 2.0
"""Pause between two looks at the states of the replicas for the metrics."""

CONNECTIONS_S = 2
"""For connections to take their replies after a drain; whole seconds, because uvicorn takes an integer."""


@dataclass(frozen=True, slots=True)
class ServiceLoad:
    """How full one process of the service is.

    Attributes:
        waiting: samples in it.
        lists: what it has given to the replicas of the GRM; None where it judges lists itself.
    """

    waiting: int
    lists: PoolLoad | None


class RewardActor:
    """It answers HTTP requests and, as an actor, the calls of its public methods.

    Args:
        config: what the service does.
        engines, meta_rms: the actors of the models, by a name of each; empty where they have no replicas.
        held_socket: the path of the keeper's `HeldSocket`.
        token: what requests must carry.
        place: which of the processes of the service this is.
        links: the sockets by which they call each other, by their places.
    """

    def __init__(
        self,
        config: Config,
        engines: Mapping[str, Any],
        meta_rms: Mapping[str, Any],
        held_socket: str,
        token: Token | None = None,
        place: int = 0,
        links: Sequence[str] = ("",),
    ) -> None:
        with starting():
            self._guard = guard_this_process()
            # Damaged statistics end the start of a service with an error (`Deployment.deploy`). Here Ray may be
            # bringing a dead service back, and every attempt would fail: so they are moved away.
            set_aside_if_damaged(config.normalize)
            self._pools = {}
            if engines:
                self._pools["Engine"] = ReplicaPool(engines, requests_per_replica(config))
            lists = RemoteLists(config, self._pools["Engine"]) if engines else None
            meta_rm = meta_rm_of(config, meta_rms)
            if isinstance(meta_rm, RemoteMetaRM):
                self._pools["MetaRM"] = meta_rm.pool
            own = RewardService(config, lists or build_generator(share_of_engine(config)), meta_rm, saves=not place)
            self._own = own
            self._front = Front(own, place, links) if len(links) > 1 else None
            service: Served = self._front or own
            self._service = service
            collect_rarely()
            app = create_app(lambda: service, lambda: token)
            listening = take(held_socket, config.service.host, config.service.port, place, len(links))
            self._server = uvicorn.Server(
                uvicorn.Config(
                    app,
                    log_level="warning",
                    access_log=False,
                    lifespan="off",
                    timeout_graceful_shutdown=CONNECTIONS_S,
                )
            )
            self._serving = asyncio.create_task(self._server.serve(sockets=[listening]))
            self._serving.add_done_callback(self._ended)
            self._states = asyncio.create_task(self._tell_states())

    async def ping(self) -> str:
        """The version of grm_plugin in this process, once it has started."""
        if self._front:
            await self._front.started()
        return __version__

    async def get_reward(self, request: GetRewardRequest, n: int | None = None, learn: bool = True) -> GetRewardReply:
        """See `RewardService.get_reward`."""
        return await self._service.get_reward(request, n, learn)

    async def judge_groups(self, request: ScoreRequest) -> ScoreReply:
        """See `RewardService.judge_groups`."""
        return await self._service.judge_groups(request)

    async def load(self) -> ServiceLoad:
        """How full it is."""
        pool = self._pools.get("Engine")
        return ServiceLoad(self._own.waiting, pool.load() if pool else None)

    async def problem(self) -> str:
        """See `RewardService.problem`; it takes as long as a probe of idle models."""
        return await self._service.problem()

    async def drain(self, patience_s: float) -> None:
        """See `RewardService.drain`. Then connections are closed, once they have their replies."""
        await self._service.drain(patience_s)
        self._serving.remove_done_callback(self._ended)
        self._server.should_exit = True
        await self._serving

    def _ended(self, serving: asyncio.Task[None]) -> None:
        """Nothing answers HTTP any more: Ray is to start this actor anew."""
        error = None if serving.cancelled() else serving.exception()
        logger.error("ending this service, its listener has ended: %r", error)
        os._exit(1)

    async def _tell_states(self) -> None:
        """Keep the metric of the replicas' states up to date."""
        while True:
            self._own.metrics.set_replicas({name: pool.states() for name, pool in self._pools.items()})
            await asyncio.sleep(STATES_PERIOD_S)


def share_of_engine(config: Config) -> EngineConfig:
    """The engine's section for one of the processes of a service that has the engine in each of them."""
    engine = config.engine
    if not isinstance(engine, OpenAIConfig):
        return engine
    return engine.model_copy(update={"max_concurrency": -(-engine.max_concurrency // config.service.replicas)})
