"""Starts the actors of a service and ends them. Runs in the keeper, on the head node."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

import ray

from grm_plugin._util.deadline import Deadline
from grm_plugin.config import AnyMetaRMConfig, Config, EngineConfig, VLLMConfig, replicas_of
from grm_plugin.errors import ServiceError
from grm_plugin.judging.normalize import Normalizer
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.serving.ports import http_url
from grm_plugin.serving.ray.actors import NAMESPACE, actor_name, end_actors, head_node, service_id
from grm_plugin.serving.ray.gpus import (
    CPUS_PER_REPLICA,
    gpus_per_replica,
)
from grm_plugin.serving.ray.held_socket import HeldSocket
from grm_plugin.serving.ray.reach import from_head_node_only, on_head_node
from grm_plugin.serving.ray.replicas import EngineReplica, MetaRMReplica
from grm_plugin.serving.ray.service_actor import RewardActor
from grm_plugin.serving.ray.start_waits import StartWaits
from grm_plugin.wire.token import Token, exposure

logger = logging.getLogger(__name__)

PORT_PATIENCE_S = 3.0
"""A start waits so long for its port: the listener of a service that has just been stopped may be about to end."""

MOST_CALLS = 10_000
"""Calls that an actor takes at once. Work is bounded by those who send it; a ping must never wait behind it."""


Model = EngineConfig | AnyMetaRMConfig | None


class Deployment:
    """Starts and ends the actors of one service.

    They are detached, so that they outlive the keeper, and Ray restarts each that dies: on any node, but the one that
    listens on the head node.

    Args:
        config: what to deploy.
        token: what requests to the service must carry.
    """

    def __init__(self, config: Config, token: Token | None = None) -> None:
        self._config = config
        self._token = token
        self._service = config.service
        self._given_up = threading.Event()
        self._waits = StartWaits(config, self._given_up)
        self._held: HeldSocket | None = None

    def deploy(self) -> tuple[str, tuple[str, ...]]:
        """Start the service and wait until the GRM answers; its URL, and notes for the user.

        Raises:
            ServiceError: too few GPUs, the port is in use, a replica fails, `service.ready_timeout_s` is over, or the
                start was given up.
            ConfigError: `normalize.state_path` holds no saved state.
            PromptError: a template cannot be read.
        """
        deadline = Deadline.after(self._service.ready_timeout_s)
        Normalizer(self._config.normalize)  # fails for a damaged saved state, at once and not in an actor
        prompts = PromptBuilder.of(self._config)
        end_actors(self._service.name)  # those of a service whose keeper has died
        gpus = self._waits.for_gpus().total
        self._held = self._hold_socket()
        self._waits.check_not_given_up()  # the last chance to fail before there is something to take down again
        models = self._config.meta_rm, self._config.engine
        meta_rms = self._start_replicas("MetaRM", MetaRMReplica, models[0], gpus, (self._config,))
        engines = self._start_replicas("Engine", EngineReplica, models[1], gpus, (self._config, prompts, meta_rms))
        self._waits.until_started({**meta_rms, **engines}, deadline)
        self._waits.until_started(self._start_service(self._held, engines, meta_rms), deadline)
        url = http_url(self._service.host, self._service.port)
        self._waits.until_ready(url, self._token, deadline)
        notes = exposure(self._service.host, self._token, self._service.token_env)
        reach = from_head_node_only(self._service)
        return url, (*((reach,) if reach else ()), *notes)

    @property
    def waits_for(self) -> str:
        """See `StartWaits.waits_for`."""
        return self._waits.waits_for

    def give_up(self) -> None:
        """Make the `deploy` that another thread runs fail soon."""
        self._given_up.set()

    def delete(self, patience_s: float = 0.0) -> None:
        """End the service; its processes end within a moment.

        Requests under way have `patience_s` seconds to finish; the rest fails so that clients ask again.
        """
        if self._held:
            self._held.close()
        end_actors(self._service.name, patience_s)

    def _hold_socket(self) -> HeldSocket:
        """Listen; a process that is just ending may still have the port for a moment."""
        deadline = Deadline.after(PORT_PATIENCE_S)
        while True:
            try:
                return HeldSocket(self._service.host, self._service.port, self._service.replicas)
            except ServiceError as error:
                self._waits.pause(deadline, f"{error}{on_head_node()}")

    def _start_replicas(
        self, name: str, replica: type, model: Model, cluster_gpus: float, arguments: tuple[Any, ...]
    ) -> dict[str, Any]:
        """The actors of a model, by their names; none where it has no replicas."""
        gpus = gpus_per_replica(model, cluster_gpus) if isinstance(model, VLLMConfig) else 0
        options = {"num_cpus": CPUS_PER_REPLICA, "num_gpus": gpus, "scheduling_strategy": "SPREAD"}
        ids = [f"{name}:{number}" for number in range(replicas_of(model))]
        return {id: self._start(replica, id, (id, *arguments), **options) for id in ids}

    def _start_service(
        self, held: HeldSocket, engines: Mapping[str, Any], meta_rms: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The actors that take requests, by their names: on the machine of their sockets."""
        arguments = (self._config, engines, meta_rms, held.path, self._token)
        options = {"num_cpus": 0, "scheduling_strategy": head_node()}
        ids = [service_id(place) for place in range(self._service.replicas)]
        return {
            id: self._start(RewardActor, id, (*arguments, place, held.links), **options) for place, id in enumerate(ids)
        }

    def _start(self, actor: type, id: str, arguments: tuple[Any, ...], **options: Any) -> Any:
        return (
            ray.remote(actor)
            .options(
                name=actor_name(self._service.name, id),
                namespace=NAMESPACE,
                lifetime="detached",
                max_restarts=-1,
                max_concurrency=MOST_CALLS,
                **options,
            )
            .remote(*arguments)
        )
