"""From which nodes of the cluster a service can be reached: it listens on the head node."""

from __future__ import annotations

from grm_plugin.config import ServiceConfig
from grm_plugin.wire.token import is_loopback


def living_nodes() -> int:
    """Nodes of the cluster of this process."""
    import ray

    return sum(node["Alive"] for node in ray.nodes())


def on_head_node() -> str:
    """For an error about the address: whose it has to be, where the user's process may be on another node."""
    if living_nodes() == 1:
        return ""
    import ray

    return f"; services of this cluster listen on its head node, {ray.util.get_node_ip_address()}"


def from_head_node_only(service: ServiceConfig) -> str:
    """Why other nodes of the cluster cannot reach the service, and what to do; empty where they can, or are none."""
    nodes = living_nodes()
    if nodes == 1 or not is_loopback(service.host):
        return ""
    return (
        f"service.host {service.host} is reached from the head node only, and the cluster has {nodes} nodes: set it to "
        "0.0.0.0 (--grm.service.host 0.0.0.0), and a token (GRM_TOKEN)"
    )
