"""The actors of a service on the Ray cluster of this process: how they are named, found and ended."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from grm_plugin.serving.stop_times import DRAIN_MARGIN_S

logger = logging.getLogger(__name__)

NAMESPACE = "grm_plugin"
"""Ray namespace of all their names."""

SERVICE = "RewardService"
"""Which of a service's actors takes the requests: the first one, see `service_id`."""


def keeper_name(service: str) -> str:
    """The name of the keeper of the service with this name."""
    return f"grm-keeper-{service}"


def actor_name(service: str, id: str) -> str:
    """The name of another actor of a service. No service's name holds a colon."""
    return f"{service}:{id}"


def service_id(place: int) -> str:
    """Which of a service's actors takes requests in a place (0: the first one)."""
    return f"{SERVICE}:{place}" if place else SERVICE


def actors_of(service: str) -> dict[str, Any]:
    """The handles of all actors of a service but its keeper, by their names."""
    import ray

    found = {}
    for actor in ray.util.list_named_actors(all_namespaces=True):
        if actor["namespace"] == NAMESPACE and actor["name"].startswith(actor_name(service, "")):
            with suppress(ValueError):  # it has just ended
                found[actor["name"]] = ray.get_actor(actor["name"], NAMESPACE)
    return found


def actor_row(actor: Any) -> Any:
    """What Ray's head knows of an actor: `num_restarts`, the `pid` of its process.

    Ray has no public function that says so without its dashboard: whatever this raises, the caller does without.
    """
    from ray._private import state
    from ray.core.generated import gcs_pb2

    accessor: Any = state.state._connect_and_get_accessor()
    return gcs_pb2.ActorTableData.FromString(accessor.get_actor_info(actor._actor_id))


def actor_table() -> list[Any]:
    """What Ray's head knows of every actor of the cluster. As private to Ray as `actor_row`."""
    from ray._private import state
    from ray.core.generated import gcs_pb2

    accessor: Any = state.state._connect_and_get_accessor()
    return [gcs_pb2.ActorTableData.FromString(row) for row in accessor.get_actor_table(None, None)]


def end_actors(service: str, patience_s: float = 0.0) -> bool:
    """Drain a service and end its actors; False if it has none.

    Requests under way have `patience_s` seconds to finish; the rest fails so that clients ask again.
    """
    import ray

    actors = actors_of(service)
    takers = [actor for name, actor in actors.items() if name.startswith(actor_name(service, SERVICE))]
    drains = [taker.drain.remote(patience_s) for taker in takers]  # all at once: they wait for each other's answers
    if drains:
        ray.wait(drains, num_returns=len(drains), timeout=patience_s + DRAIN_MARGIN_S)
    for drain in drains:
        try:
            ray.get(drain, timeout=0)
        except Exception as error:  # whatever keeps it from draining, it is ended
            logger.warning("the requests under way in the service %s are lost, it did not drain: %s", service, error)
    for actor in actors.values():
        ray.kill(actor)
    return bool(actors)


def head_node() -> Any:
    """A scheduling strategy: on the cluster's head node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    head = next(node for node in ray.nodes() if node["Alive"] and "node:__internal_head__" in node["Resources"])
    return NodeAffinitySchedulingStrategy(head["NodeID"], soft=False)
