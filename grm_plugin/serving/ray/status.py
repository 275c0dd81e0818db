"""The services of this process's Ray cluster: where they run, on which GPUs, and how full they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from grm_plugin._util.deadline import Deadline
from grm_plugin.serving.ray.actors import NAMESPACE, SERVICE, actor_table, keeper_name
from grm_plugin.serving.status import READY, ReplicaStatus, ServiceStatus

if TYPE_CHECKING:
    from grm_plugin.serving.ray.keeper import About
    from grm_plugin.serving.ray.service_actor import ServiceLoad

NOT_ANSWERING = "not answering"

STATES = {
    "DEPENDENCIES_UNREADY": "starting",
    "PENDING_CREATION": "starting",
    "ALIVE": NOT_ANSWERING,
    "RESTARTING": "restarting",
}
"""By Ray's state of an actor: that of a replica that says nothing. A dead actor is left out."""

PROBING = "problem"
"""The method that has an idle GRM write a token, which would count among its requests: it is called last."""

HEAD_START_S = 2.0
"""For the other calls to be answered before it."""

CALLS = {"keeper": ("about",), SERVICE: ("load", PROBING), "Engine": ("load",), "MetaRM": ("load",)}
"""What the actors of a service are asked, by their kind."""


def services_on_ray(timeout_s: float) -> list[ServiceStatus]:
    """Every service of the cluster. What an actor does not answer within `timeout_s` is left open."""
    nodes = _host_names()
    services = _actors_by_service()
    answers = _ask(services, timeout_s)
    return [
        _service(name, actors, {key: answers.get((name, *key)) for key in _calls(actors)}, nodes, timeout_s)
        for name, actors in sorted(services.items())
    ]


def _actors_by_service() -> dict[str, dict[str, Any]]:
    """The rows of Ray's actor table, by the names of service and actor; `keeper` is one of these."""
    prefix = keeper_name("")
    services: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in actor_table():
        if row.ray_namespace != NAMESPACE or _state(row) not in STATES:
            continue
        service, colon, actor = row.name.partition(":")
        if colon:
            services[service][actor] = row
        elif service.startswith(prefix):
            services[service.removeprefix(prefix)]["keeper"] = row
    return dict(services)


def _calls(actors: Iterable[str]) -> list[tuple[str, str]]:
    """Name and method of everything that the actors of a service are asked."""
    return [(actor, method) for actor in actors for method in CALLS.get(actor.partition(":")[0], ())]


def _ask(services: Mapping[str, Iterable[str]], timeout_s: float) -> dict[tuple[str, str, str], Any]:
    """The answers that came in time, by service, actor and method."""
    import ray

    deadline = Deadline.after(timeout_s)
    calls = [(service, *call) for service, actors in services.items() for call in _calls(actors)]
    asked = _send(call for call in calls if call[-1] != PROBING)
    _wait(asked, min(HEAD_START_S, timeout_s))
    asked |= _send(call for call in calls if call[-1] == PROBING)
    answers = {}
    for answered in _wait(asked, deadline.left_s or 0.0):
        with suppress(ray.exceptions.RayError):
            answers[asked[answered]] = ray.get(answered)
    return answers


def _send(calls: Iterable[tuple[str, str, str]]) -> dict[Any, tuple[str, str, str]]:
    """The calls by what their answers will be."""
    import ray

    asked = {}
    for service, actor, method in calls:
        name = keeper_name(service) if actor == "keeper" else f"{service}:{actor}"
        # It may have just ended; one of another version of grm_plugin may lack the method.
        with suppress(ValueError, AttributeError):
            asked[getattr(ray.get_actor(name, NAMESPACE), method).remote()] = (service, actor, method)
    return asked


def _wait(asked: Iterable[Any], timeout_s: float) -> list[Any]:
    """Those that are answered, once all are or the time is over."""
    import ray

    waiting = [*asked]
    done: list[Any] = ray.wait(waiting, num_returns=len(waiting), timeout=timeout_s)[0] if waiting else []
    return done


def _service(
    name: str,
    actors: Mapping[str, Any],
    answers: Mapping[tuple[str, str], Any],
    nodes: Mapping[str, str],
    timeout_s: float,
) -> ServiceStatus:
    about: About | None = answers.get(("keeper", "about"))
    takers = [actor for actor in actors if actor.partition(":")[0] == SERVICE]
    loads: list[ServiceLoad] = [load for taker in takers if (load := answers.get((taker, "load"))) is not None]
    whole = bool(takers) and len(loads) == len(takers)
    pools = [load.lists for load in loads if load.lists is not None and whole]
    replicas = tuple(
        _replica(actor, row, answers.get((actor, "load")), nodes, pools)
        for actor, row in sorted(actors.items(), key=lambda item: _sort_key(item[0]))
        if actor != "keeper" and actor not in takers
    )
    problem = _problem(about, takers, answers, whole, timeout_s)
    return ServiceStatus(
        name,
        about.url if about else "",
        not problem,
        problem,
        "on Ray",
        next((_host(actors[taker], nodes) for taker in takers), ""),
        about.lifetime if about else "",
        _owner(about),
        sum(load.waiting for load in loads) if whole else None,
        about.max_waiting if about else None,
        sum(sum(pool.running.values()) for pool in pools) if pools else None,
        sum(pool.waiting for pool in pools) if pools else None,
        replicas,
    )


def _problem(
    about: About | None,
    takers: list[str],
    answers: Mapping[tuple[str, str], Any],
    whole: bool,
    timeout_s: float,
) -> str:
    """Why the service is not ready; empty if it is."""
    if about is not None and about.starting:
        return f"it starts. {about.waits_for}".rstrip(". ")
    if not whole:
        late = [taker for taker in takers if answers.get((taker, "load")) is None]
        return f"{', '.join(late) or SERVICE} does not answer within {timeout_s:g} s"
    said = [answers.get((taker, "problem")) for taker in takers]
    if any(said):
        return "; ".join(dict.fromkeys(filter(None, said)))
    if None in said:
        return f"the service answers, its GRM does not answer within {timeout_s:g} s"
    if about is None:
        return "its keeper does not answer: it judges, but no job finds it, and it would not end with its owner"
    return ""


def _replica(actor: str, row: Any, load: Any, nodes: Mapping[str, str], pools: Iterable[Any]) -> ReplicaStatus:
    given = [pool for pool in pools if actor in pool.running]
    return ReplicaStatus(
        actor,
        READY if load is not None else STATES[_state(row)],
        _host(row, nodes),
        row.pid,
        load.gpus if load is not None else None,
        row.num_restarts,
        sum(pool.running[actor] for pool in given) if given else None,
        sum(pool.places for pool in given) if given else None,
        load.requests if load is not None else None,
        load.kv_cache if load is not None else None,
    )


def _owner(about: About | None) -> str:
    if about is None or about.owner is None:
        return ""
    return f"process {about.owner.pid} on {about.owner.host}" + (" (ended)" if about.owner_is_gone else "")


def _sort_key(actor: str) -> tuple[str, int]:
    kind, _, number = actor.partition(":")
    return kind, int(number) if number.isdecimal() else 0


def _state(row: Any) -> str:
    return str(type(row).ActorState.Name(row.state))


def _host(row: Any, nodes: Mapping[str, str]) -> str:
    return nodes.get(row.node_id.hex(), "")


def _host_names() -> dict[str, str]:
    import ray

    return {node["NodeID"]: node["NodeManagerHostname"] for node in ray.nodes()}
