"""What a start waits for: GPUs, actors that load models, and a GRM that answers. Runs in the keeper.

Each wait has a deadline, ends when the start is given up, and looks meanwhile for what will never come.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping
from typing import Any

import ray
from pydantic import ValidationError
from ray.exceptions import ActorUnavailableError, RayActorError

from grm_plugin import __version__
from grm_plugin._util.deadline import NEVER, Deadline
from grm_plugin._util.http_calls import NoReplyError, get, words
from grm_plugin.config import Config
from grm_plugin.errors import ServiceError
from grm_plugin.serving.ray.actors import actor_row
from grm_plugin.serving.ray.gpus import GPUs, cluster_gpus, cluster_grows, fit, gpus_per_node, needed_gpus, shortage
from grm_plugin.serving.ray.last_words import last_words
from grm_plugin.wire.ready import Ready
from grm_plugin.wire.token import Token

logger = logging.getLogger(__name__)

GPU_PATIENCE_S = 10.0
"""Ray notices so late that a job which has just ended has freed its GPUs: before that a shortage is none."""

REFUSED_S = 15.0
"""What stands before a GRM's server that is just starting may refuse all requests for so long."""

POLL_S = 0.25
"""Pause between two looks at what a start waits for."""

DEATHS = 2
"""A process that dies so often while it starts would die the next time too."""


class StartWaits:
    """The waits of one start.

    Args:
        config: what is deployed.
        given_up: set when nobody waits for the start any more; every wait then raises `ServiceError`.
    """

    def __init__(self, config: Config, given_up: threading.Event) -> None:
        self._config = config
        self._service = config.service
        self._given_up = given_up
        self.waits_for = ""
        """What is waited for that may take long, for the user; empty if nothing is known."""

    def for_gpus(self) -> GPUs:
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
            self.pause(NEVER, problem)
        self.waits_for = ""
        return gpus

    def until_started(self, actors: Mapping[str, Any], deadline: Deadline) -> None:
        """Wait until all actors have started."""
        waiting = {actor.ping.remote(): id for id, actor in actors.items()}
        room = Deadline.after(self._service.gpu_timeout_s)
        while waiting:
            room = self._check_room(room)
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
            self.pause(deadline, self._late(late), 0.0)
        self.waits_for = ""

    def _check_room(self, until: Deadline) -> Deadline:
        """Until when the cluster may have too few GPUs for all replicas: nodes may go while models load.

        Raises:
            ServiceError: it is over, and there is no autoscaler that could bring others.
        """
        per_node = gpus_per_node()
        needed = needed_gpus(self._config, sum(per_node))
        if fit(needed, per_node) or cluster_grows():
            return Deadline.after(self._service.gpu_timeout_s)
        if until.over:
            raise ServiceError(
                f"the cluster has lost GPUs while the service started: {shortage(needed, cluster_gpus())}"
            )
        return until

    def until_ready(self, url: str, token: Token | None, deadline: Deadline) -> None:
        """Wait until the GRM answers."""
        patience = Deadline.after(REFUSED_S)
        headers = token.headers if token else None
        while True:
            try:
                timeout_s = max(1.0, deadline.left_s or 0.0)
                reply = get(f"{url}/ready", headers, timeout_s)
                if reply.status == 200:
                    return
                problem = f"{url}/ready answers {reply.status}: {reply.body.decode(errors='replace')}"
                if not _says_refused(reply.body):
                    patience = Deadline.after(REFUSED_S)
                elif patience.over:
                    raise ServiceError(f"the service cannot start: {problem}")
            except (TimeoutError, NoReplyError) as error:
                problem = f"{url}/ready does not answer: {words(error)}"
            self.pause(deadline, self._late(problem))

    def _late(self, problem: str) -> str:
        return (
            f"the service is not ready after service.ready_timeout_s ({self._service.ready_timeout_s:g} s): {problem}"
        )

    def pause(self, deadline: Deadline, problem: str, seconds: float = POLL_S) -> None:
        """Wait a moment before the next look.

        Raises:
            ServiceError: the deadline has passed (the message is `problem`), or the start was given up.
        """
        self._given_up.wait(seconds)
        self.check_not_given_up()
        if deadline.over:
            raise ServiceError(problem)

    def check_not_given_up(self) -> None:
        if self._given_up.is_set():
            raise ServiceError("the process that started the service is gone")


def _deaths(actor: Any) -> int:
    """How often the process of an actor has died so far; 0 where Ray does not say."""
    try:
        return int(actor_row(actor).num_restarts)
    except Exception as error:  # private functions of Ray may change
        logger.warning("cannot tell how often an actor has died: %s", error)
        return 0


def _says_refused(body: bytes) -> bool:
    """Whether a reply of `/ready` says that waiting does not help."""
    try:
        return Ready.model_validate_json(body).refused
    except ValidationError:
        return False


def _reason(error: RayActorError) -> str:
    """Why an actor did not start: its own error without the traceback, else what Ray says."""
    text = str(error)
    errors = re.findall(r"^(?:\w+\.)*\w*(?:Error|Exception)\b.*$", text, re.M)
    return (errors[-1] if errors else text).removeprefix("grm_plugin.errors.")
