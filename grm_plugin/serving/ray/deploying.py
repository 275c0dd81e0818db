"""Starts the actors of a service and ends them. Runs in the keeper, on the head node."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from grm_plugin import __version__
from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin._util.http_calls import NoReplyError, get, words
from grm_plugin.config import AnyMetaRMConfig, Config, EngineConfig, ServiceConfig, VLLMConfig, replicas_of
from grm_plugin.errors import ServiceError
from grm_plugin.judging.normalize import Normalizer
from grm_plugin.judging.prompts import PromptBuilder
from grm_plugin.serving.ports import http_url
from grm_plugin.serving.ray.actors import NAMESPACE, actor_name, actor_row, end_actors, head_node, service_id
from grm_plugin.serving.ray.gpus import (
    CPUS_PER_REPLICA,
    GPUs,
    cluster_gpus,
    cluster_grows,
    gpus_per_replica,
    needed_gpus,
    shortage,
)
from grm_plugin.serving.ray.held_socket import HeldSocket
from grm_plugin.serving.ray.last_words import last_words
from grm_plugin.serving.ray.replicas import EngineReplica, MetaRMReplica
from grm_plugin.serving.ray.service_actor import RewardActor
from grm_plugin.wire.token import Token, exposure, is_loopback

logger = logging.getLogger(__name__)

GPU_PATIENCE_S = 10.0
"""Ray notices so late that a job which has just ended has freed its GPUs: before that a shortage is none."""

PORT_PATIENCE_S = 3.0
"""A start waits so long for its port: the listener of a service that has just been stopped may be about to end."""

POLL_S = 0.25
"""Pause between two looks at what a start waits for."""

DEATHS = 2
"""A process that dies so often while it starts would die the next time too."""

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
        self.waits_for = ""
        """What a start waits for that may take long, for the user; empty if nothing is known."""
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
        gpus = self._wait_for_gpus().total
        self._held = self._hold_socket()
        self._check_not_given_up()  # the last chance to fail before there is something to take down again
        models = self._config.meta_rm, self._config.engine
        meta_rms = self._start_replicas("MetaRM", MetaRMReplica, models[0], gpus, (self._config,))
        engines = self._start_replicas("Engine", EngineReplica, models[1], gpus, (self._config, prompts, meta_rms))
        self._wait_until_started({**meta_rms, **engines}, deadline)
        self._wait_until_started(self._start_service(self._held, engines, meta_rms), deadline)
        url = http_url(self._service.host, self._service.port)
        self._wait_until_ready(url, deadline)
        notes = exposure(self._service.host, self._token, self._service.token_env)
        return url, _loopback_note(self._service) + notes

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
                self._pause(deadline, f"{error}{_on_head_node()}")

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

    def _wait_for_gpus(self) -> GPUs:
        """The cluster's GPUs, once there are enough. Where it grows, the replicas that wait for them make it grow."""
        brief = Deadline.after(min(GPU_PATIENCE_S, self._service.gpu_timeout_s))
        deadline = Deadline.after(min(self._service.gpu_timeout_s, self._service.ready_timeout_s))
        while problem := shortage(needed_gpus(self._config, (gpus := cluster_gpus()).total), gpus):
            if brief.over:
                self.waits_for = problem
                if cluster_grows():
                    return gpus
                if deadline.over:
                    raise ServiceError(problem)
            self._pause(NEVER, problem)
        self.waits_for = ""
        return gpus

    def _wait_until_started(self, actors: Mapping[str, Any], deadline: Deadline) -> None:
        """Wait until all actors have started."""
        waiting = {actor.ping.remote(): id for id, actor in actors.items()}
        while waiting:
            done, _ = ray.wait([*waiting], timeout=POLL_S)
            for ping in done:
                id = waiting.pop(ping)
                try:
                    version = ray.get(ping)
                except ActorUnavailableError:  # its process has died
                    if _deaths(actors[id]) >= DEATHS:
                        raise ServiceError(
                            f"the service cannot start: the process of {id} died while it loaded (out of memory?); "
                            f"{last_words(actors[id])}"
                        ) from None
                    waiting[actors[id].ping.remote()] = id
                    continue
                except RayActorError as error:
                    raise ServiceError(f"the service cannot start: {_reason(error)}") from None
                if version != __version__:
                    raise ServiceError(
                        f"{id} was started on a node with grm_plugin {version}, the service is {__version__}: install "
                        "one version on all nodes"
                    )
            names = ", ".join(sorted(waiting.values()))
            late = f"{names} not started (no room on the cluster, or still loading). {self.waits_for}".rstrip(". ")
            self._pause(deadline, self._late(late), 0.0)
        self.waits_for = ""

    def _wait_until_ready(self, url: str, deadline: Deadline) -> None:
        """Wait until the GRM answers."""
        headers = self._token.headers if self._token else None
        while True:
            try:
                timeout_s = max(1.0, deadline.left_s or 0.0)
                reply = get(f"{url}/ready", headers, timeout_s)
                if reply.status == 200:
                    return
                problem = f"{url}/ready answers {reply.status}: {reply.body.decode(errors='replace')}"
            except (TimeoutError, NoReplyError) as error:
                problem = f"{url}/ready does not answer: {words(error)}"
            self._pause(deadline, self._late(problem))

    def _late(self, problem: str) -> str:
        return (
            f"the service is not ready after service.ready_timeout_s ({self._service.ready_timeout_s:g} s): {problem}"
        )

    def _pause(self, deadline: Deadline, problem: str, seconds: float = POLL_S) -> None:
        """Wait a moment before the next look.

        Raises:
            ServiceError: the deadline has passed (the message is `problem`), or the start was given up.
        """
        self._given_up.wait(seconds)
        self._check_not_given_up()
        if deadline.over:
            raise ServiceError(problem)

    def _check_not_given_up(self) -> None:
        if self._given_up.is_set():
            raise ServiceError("the process that started the service is gone")


def _deaths(actor: Any) -> int:
    """How often the process of an actor has died so far; 0 where Ray does not say."""
    try:
        return int(actor_row(actor).num_restarts)
    except Exception as error:  # private functions of Ray may change
        logger.warning("cannot tell how often an actor has died: %s", error)
        return 0


def _nodes() -> int:
    return sum(node["Alive"] for node in ray.nodes())


def _on_head_node() -> str:
    """For an error about the address: whose it has to be, where the user's process may be on another node."""
    if _nodes() == 1:
        return ""
    return f"; services of this cluster listen on its head node, {ray.util.get_node_ip_address()}"


def _loopback_note(service: ServiceConfig) -> tuple[str, ...]:
    """A note for the user where other nodes of the cluster cannot reach the service."""
    nodes = _nodes()
    if nodes == 1 or not is_loopback(service.host):
        return ()
    return (f"{service.host} is reached from the head node only: set service.host to 0.0.0.0 for all {nodes} nodes",)


def _reason(error: RayActorError) -> str:
    """Why an actor did not start: its own error without the traceback, else what Ray says."""
    text = str(error)
    errors = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*$", text, re.M)
    return (errors[-1] if errors else text).removeprefix("grm_plugin.errors.")
