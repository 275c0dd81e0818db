"""How many GPUs the service needs, how many are free on the Ray cluster, and what holds the others."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass

from grm_plugin.config import Config, VLLMConfig
from grm_plugin.engines.vllm_start import is_cpu_build
from grm_plugin.serving.ray.actors import actor_table

logger = logging.getLogger(__name__)

CPUS_PER_REPLICA = 0.1
"""CPUs that a replica reserves. Little, because it must start beside a training job that reserves all whole ones."""

MADE_UP_TYPE = "node_"
"""How the name of a node's type begins where no autoscaler has given one."""

AUTOSCALER_STATUS = "__autoscaling_status"
"""Where Ray's first autoscaler keeps its status; the second one is asked for it."""


@dataclass(frozen=True, slots=True)
class GPUHolder:
    """What holds GPUs of a cluster; `name` says which placement group or actor it is."""

    name: str
    gpus: float


@dataclass(frozen=True, slots=True)
class GPUs:
    """The GPUs of a cluster: all of them, the free ones of each node, and what holds the others, as far as Ray says;
    `per_node` are all of each node, where that is known."""

    total: float
    free_per_node: tuple[float, ...]
    holders: tuple[GPUHolder, ...] = ()
    per_node: tuple[float, ...] = ()

    @property
    def free(self) -> float:
        """The free ones of all nodes."""
        return sum(self.free_per_node)


def gpus_per_replica(model: VLLMConfig, cluster_gpus: float) -> int:
    """GPUs that one replica of a model reserves on a cluster with `cluster_gpus` of them.

    The replica's actor reserves them all, because Ray takes the GPUs of one actor from one node; vLLM spreads a tensor
    parallel model over them with worker processes. A CPU build of vLLM reserves none on a cluster without GPUs, nor
    under the CPU profile (GRM_CPU=1), which makes Ray pretend to have GPUs for the trainer.
    """
    if is_cpu_build() and (cluster_gpus == 0 or os.environ.get("GRM_CPU") == "1"):
        return 0
    return model.tensor_parallel_size


def needed_gpus(config: Config, cluster_gpus: float) -> list[int]:
    """The GPUs that each replica of the GRM and of the meta RM reserves, one entry per replica."""
    models = [model for model in (config.engine, config.meta_rm) if isinstance(model, VLLMConfig)]
    return [gpus_per_replica(model, cluster_gpus) for model in models for _ in range(model.replicas)]


def shortage(needed: Sequence[int], gpus: GPUs) -> str:
    """Why the free GPUs do not suffice, and what to do about it; empty if they do.

    Args:
        needed: the GPUs of each replica, which must all be on one node.
        gpus: the cluster's GPUs.
    """
    if fit(needed, gpus.free_per_node):
        return ""
    nodes = " + ".join(f"{left:g}" for left in gpus.free_per_node) or "none"
    held = ", ".join(f"{holder.name}: {holder.gpus:g}" for holder in gpus.holders) or "nothing that Ray can name"
    return (
        f"the service needs {sum(needed)} GPU(s) ({' + '.join(map(str, needed))}, each replica on one node) but "
        f"{gpus.free:g} of {gpus.total:g} are free (per node: {nodes}). Held by: {held}. "
        + (
            f"No node has the {max(needed)} GPUs of one replica, the largest has {max(gpus.per_node):g}: lower "
            "tensor_parallel_size, or take larger nodes"
            if gpus.per_node and max(needed) > max(gpus.per_node)
            else "Start the service before the training job, lower engine.replicas or tensor_parallel_size, free GPUs, "
            "or wait longer for them (service.gpu_timeout_s)"
        )
    )


def fit(needed: Sequence[int], per_node: Sequence[float]) -> bool:
    """Whether replicas of so many GPUs find room on nodes with so many: each on one node."""
    # The largest replicas first, each on the first node that has room for it.
    left = sorted(per_node, reverse=True)
    for replica in sorted(filter(None, needed), reverse=True):
        node = next((node for node, gpus in enumerate(left) if gpus >= replica), None)
        if node is None:
            return False
        left[node] -= replica
    return True


def gpus_per_node() -> tuple[float, ...]:
    """The GPUs, taken or not, of each living node of this process's Ray cluster that has any."""
    import ray

    return tuple(gpus for node in ray.nodes() if node["Alive"] and (gpus := node["Resources"].get("GPU", 0.0)))


def cluster_gpus() -> GPUs:
    """The GPUs of the Ray cluster that this process is connected to."""
    from ray._private import state

    free = tuple(node.get("GPU", 0.0) for node in state.available_resources_per_node().values())
    per_node = gpus_per_node()
    total = sum(per_node)
    try:
        holders = (*_placement_groups(), *_actors()) if total else ()
    except Exception as error:  # private functions of Ray may change; its public ones need its dashboard
        logger.warning("cannot tell what holds the GPUs: %s", error)
        holders = ()
    return GPUs(total, free, holders, per_node)


def cluster_grows() -> bool:
    """Whether an autoscaler runs on the cluster of this process, which adds nodes for actors that wait for GPUs.

    On a cluster without one Ray makes up a type for each node, named after it.
    """
    try:
        return any(not name.startswith(MADE_UP_TYPE) for name in _node_types())
    except Exception as error:  # private functions of Ray may change
        logger.warning("cannot tell whether the cluster has an autoscaler: %s", error)
        return False


def _node_types() -> set[str]:
    import ray
    from ray.autoscaler.v2.sdk import get_cluster_status
    from ray.autoscaler.v2.utils import is_autoscaler_v2
    from ray.experimental.internal_kv import _internal_kv_get

    if is_autoscaler_v2():
        status = get_cluster_status(ray.get_runtime_context().gcs_address)
        return {node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)} - {""}
    report = json.loads(_internal_kv_get(AUTOSCALER_STATUS) or "{}").get("autoscaler_report") or {}
    return {*(report.get("active_nodes") or {}), *(report.get("idle_nodes") or {})}


def _placement_groups() -> list[GPUHolder]:
    from ray.util import placement_group_table

    return [
        GPUHolder(f"placement group {group['name'] or group['placement_group_id'][:8]}", gpus)
        for group in placement_group_table().values()
        if group["state"] == "CREATED" and (gpus := sum(bundle.get("GPU", 0.0) for bundle in group["bundles"].values()))
    ]


def _actors() -> list[GPUHolder]:
    """The actors with GPUs of their own; an actor in a placement group uses the group's."""
    from ray.core.generated import gcs_pb2

    return [
        GPUHolder(f"actor {actor.name or actor.class_name} (pid {actor.pid})", actor.required_resources["GPU"])
        for actor in actor_table()
        if actor.state == gcs_pb2.ActorTableData.ALIVE
        and actor.required_resources["GPU"]
        and not actor.placement_group_id
    ]
