"""What runs and how full it is, as `grm-plugin status` shows it; and the services without Ray of this machine."""

from __future__ import annotations

import json
import socket
from concurrent.futures import Future
from dataclasses import dataclass

from pydantic import ValidationError

from grm_plugin._util.background import start_in_background
from grm_plugin._util.http_calls import NoReplyError, Reply, get, words
from grm_plugin.serving import pid_file
from grm_plugin.wire.ready import Ready
from grm_plugin.wire.schemas import Info
from grm_plugin.wire.token import Token

READY = "ready"
"""The state of a replica that answers."""


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica of the GRM or the meta RM.

    Attributes:
        name: its model (Engine, MetaRM) and its number.
        state: `ready`; `starting` or `restarting`; `not answering` where its process is there and says nothing in time.
        node: host name of its node; empty where it has none yet.
        pid: of its process there; 0 where it has none.
        gpus: ids of its GPUs there, as Ray counts them; None while it does not say.
        restarts: how often Ray has started it anew.
        lists: lists, or parts of them, that it judges; None for a meta RM, and while the service does not say.
        places: most requests, one per order of a list, that it gets at once; None likewise.
        requests: calls that its model has; None while it does not say.
        kv_cache: share of its KV cache in use, 0 to 1; None where the engine does not say.
    """

    name: str
    state: str
    node: str = ""
    pid: int = 0
    gpus: tuple[str, ...] | None = None
    restarts: int = 0
    lists: int | None = None
    places: int | None = None
    requests: int | None = None
    kv_cache: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service.

    Attributes:
        name: `service.name`.
        url: its address.
        ready: whether its GRM answers, and its meta RM where there is one.
        problem: why it is not ready; empty if it is.
        runs: `on Ray`, or `in one process`.
        node: host name of the machine that listens.
        lifetime: `job` or `shared`; empty where it is not known.
        owner: which process started it, in words; empty where it is not known.
        samples: samples in it now; None while it does not say.
        max_samples: most of them (`service.max_waiting`, of all its processes); None likewise.
        lists: lists, or parts of them, that its replicas judge; None where it has none, and while it does not say.
        lists_waiting: those that wait for a replica; None likewise.
        replicas: of the GRM, then of the meta RM.
    """

    name: str
    url: str
    ready: bool
    problem: str
    runs: str
    node: str = ""
    lifetime: str = ""
    owner: str = ""
    samples: int | None = None
    max_samples: int | None = None
    lists: int | None = None
    lists_waiting: int | None = None
    replicas: tuple[ReplicaStatus, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it is ready, and so is every replica."""
        return self.ready and all(replica.state == READY for replica in self.replicas)


def services_without_ray(token: Token | None, timeout_s: float) -> list[ServiceStatus]:
    """Those of this user on this machine, asked over HTTP, all at once.

    Args:
        token: what they are sent.
        timeout_s: for each answer.
    """
    found = pid_file.find_all()
    asked = {
        name: [_ask(f"{running.url}/{path}", token, timeout_s) for path in ("info", "ready")]
        for name, running in found.items()
    }
    return [_status(name, found[name], *(reply.result() for reply in replies)) for name, replies in asked.items()]


def _ask(url: str, token: Token | None, timeout_s: float) -> Future[Reply | str]:
    """The reply, or why there is none."""

    def ask() -> Reply | str:
        try:
            return get(url, token.headers if token else None, timeout_s)
        except TimeoutError:
            return f"it does not answer within {timeout_s:g} s"
        except NoReplyError as error:
            return f"it does not answer: {words(error)}"

    return start_in_background(ask, "grm-status")


def _status(name: str, running: pid_file.RunningService, info: Reply | str, ready: Reply | str) -> ServiceStatus:
    figures = _figures(info)
    problem = _problem(ready, answers=figures is not None)
    return ServiceStatus(
        name,
        running.url,
        not problem,
        problem,
        "in one process",
        socket.gethostname(),
        owner=f"process {running.pid}",
        samples=int(figures.counters.get("waiting", 0)) if figures else None,
        max_samples=figures.max_waiting if figures else None,
    )


def _figures(reply: Reply | str) -> Info | None:
    if isinstance(reply, str) or not reply.is_success:
        return None
    try:
        return Info.model_validate(json.loads(reply.body))
    except (ValidationError, ValueError):
        return None


def _problem(reply: Reply | str, answers: bool) -> str:
    if isinstance(reply, str):
        return reply.replace("it does", "the service answers, its GRM does", 1) if answers else reply
    if reply.status == 401:
        return "it asks for its token: set GRM_TOKEN"
    try:
        said = Ready.model_validate_json(reply.body)
    except ValidationError:
        return f"what answers there is no GRM service ({reply.status})"
    return "" if said.ready else said.problem
