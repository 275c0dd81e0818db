"""Which GPUs an OpenRLHF job and its GRM take, added up before either of them reserves any.

OpenRLHF waits without an end for GPUs that the cluster does not have (its placement groups), and says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from grm_plugin.config import Config, VLLMConfig
from grm_plugin.errors import ConfigError
from grm_plugin.serving.ray.gpus import fit, gpus_per_replica

ADVICE = (
    "Take fewer for the job (--actor.num_gpus_per_node, --vllm.num_engines, --train.colocate_all) or for the GRM "
    "(--grm.engine.replicas, --grm.engine.tensor_parallel_size), or a larger cluster"
)


@dataclass(frozen=True, slots=True)
class Role:
    """A part of the job: the GPUs that it takes for itself, and how they come about.

    Attributes:
        together: so many of them must be on one node.
        memory: the share of each GPU's memory that it takes; None where it takes what it needs.
    """

    name: str
    gpus: int
    how: str
    together: int = 1
    memory: float | None = None


def roles_of(flags: SimpleNamespace) -> list[Role]:
    """OpenRLHF's parts, as it reserves GPUs for them (openrlhf/cli/train_ppo_ray.py, `train`).

    Args:
        flags: as `openrlhf_flags.read_flags` gives them, for a job whose rewards come from elsewhere.
    """
    all_together, shares = flags.train.colocate_all, "with the actor"
    found = [_group("actor", flags.actor)]
    if flags.algo.kl.init_coef > 0:
        together = all_together or flags.train.colocate_actor_ref
        found.append(Role("reference", 0, shares) if together else _group("reference", flags.ref))
    if flags.critic.model_name_or_path:
        found.append(Role("critic", 0, shares) if all_together else _group("critic", flags.critic))
    if flags.vllm.num_engines:
        engines, each = flags.vllm.num_engines, flags.vllm.tensor_parallel_size
        together = all_together and not flags.train.async_enable
        how = f"{engines} x --vllm.tensor_parallel_size {each}"
        gpus, how = (0, shares) if together else (engines * each, how)
        found.append(Role("rollout engines", gpus, how, memory=flags.vllm.gpu_memory_utilization))
    return found


def roles_of_grm(config: Config, cluster_gpus: float) -> list[Role]:
    """The replicas of the GRM and of the meta RM."""
    return [
        Role(
            name,
            model.replicas * each,
            f"{model.replicas} x {section}.tensor_parallel_size {each}",
            each,
            model.gpu_memory_utilization,
        )
        for name, section, model in (("GRM", "engine", config.engine), ("meta RM", "meta_rm", config.meta_rm))
        if isinstance(model, VLLMConfig) and (each := gpus_per_replica(model, cluster_gpus))
    ]


def table(roles: Sequence[Role], cluster_gpus: float) -> str:
    """The plan, for the user: a line per part, and the sum."""
    needed = sum(role.gpus for role in roles)
    lines = [f"{role.name:<16} {role.gpus:>5} {_share(role):>7}  {role.how}" for role in roles]
    total = f"{'all':<16} {needed:>5} {'':>7}  of {cluster_gpus:g} in the cluster"
    return "\n".join([f"{'part':<16} {'GPUs':>5} {'memory':>7}", *lines, total])


def _share(role: Role) -> str:
    return "" if role.memory is None else f"{role.memory:.0%}"


def check_room(roles: Sequence[Role], per_node: Sequence[float]) -> None:
    """Check that the cluster has the GPUs of all parts.

    Args:
        roles: the parts.
        per_node: GPUs of each node, taken or not.

    Raises:
        ConfigError: it has not; with the table.
    """
    needed, cluster_gpus = sum(role.gpus for role in roles), sum(per_node)
    together = [role for role in roles if role.together > 1]
    replicas = [role.together for role in together for _ in range(role.gpus // role.together)]
    if sum(replicas) <= cluster_gpus and not fit(replicas, per_node):
        raise ConfigError(
            f"each replica of {' and '.join(role.name for role in together)} needs its GPUs on one node "
            f"({' + '.join(map(str, replicas))}), and the nodes have {' + '.join(f'{gpus:g}' for gpus in per_node)}: "
            f"lower tensor_parallel_size or replicas, or take larger nodes.\n{table(roles, cluster_gpus)}"
        )
    if needed > cluster_gpus:
        raise ConfigError(
            f"the job and its GRM need {needed} GPUs, the cluster has {cluster_gpus:g}: OpenRLHF would wait without an "
            f"end. {ADVICE}.\n{table(roles, cluster_gpus)}"
        )


def _group(name: str, flags: SimpleNamespace) -> Role:
    nodes, each = flags.num_nodes, flags.num_gpus_per_node
    flag = "ref" if name == "reference" else name
    return Role(name, nodes * each, f"{nodes} node(s) x --{flag}.num_gpus_per_node {each}")
