#!/usr/bin/env bash
# An OpenRLHF job and the GRM that rewards it, on several nodes of 8 GPUs under Slurm: one Ray cluster over all of them,
# then the launcher on the first. In the root of the repository, on a file system that all nodes share:
#
#   sbatch --nodes=2 examples/deploy/slurm/several_nodes.sh bash examples/openrlhf/grpo_16b.sh --grm.service.host 0.0.0.0 \
#       --actor.num_nodes 2 [more flags]
#
# --grm.service.host 0.0.0.0 lets the hooks on other nodes reach the service. As for one_node.sh, the virtual environment is
# active when sbatch is called, and the weights have been downloaded.
#SBATCH --job-name=grm
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail

export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}

# The service listens on the network: whoever reaches it needs this token. The hooks get it from the launcher.
GRM_TOKEN=$(python -c 'import secrets; print(secrets.token_urlsafe(32))')
export GRM_TOKEN

# For all nodes to join the cluster, in seconds.
JOIN_S=${JOIN_S:-300}

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
# Some sites name several addresses of a node: any one will do, as long as it is the same for all.
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
# Two jobs may meet on a node that is not exclusive: each has a port of its own.
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_ADDRESS=$address:$port

# No dashboard: it takes ports that run code, and nobody submits further jobs to this cluster.
# --overlap: steps share the node, as the head and the launcher do. --block: Ray ends when its step does, and its step with
# this script.
on_nodes=(srun --overlap --cpus-per-task="$SLURM_CPUS_ON_NODE" --gpus-per-node="$SLURM_GPUS_ON_NODE")
"${on_nodes[@]}" --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --block --node-ip-address="$address" --port="$port" \
    --include-dashboard=false --disable-usage-stats &
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT

# Ray looks for the head while it starts, but gives up after a while: first the port, then the others.
deadline=$((SECONDS + JOIN_S))
until (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; do
    if ((SECONDS > deadline)); then
        echo "the Ray head on $head does not listen on $address:$port after $JOIN_S s: see above" >&2
        exit 1
    fi
    sleep 2
done
if ((SLURM_JOB_NUM_NODES > 1)); then
    "${on_nodes[@]}" --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
        ray start --block --address="$RAY_ADDRESS" --disable-usage-stats &
fi

# The launcher adds up the GPUs of the cluster before it starts anything: all nodes must be there.
"${on_nodes[@]}" --nodes=1 --ntasks=1 --nodelist="$head" python - "$SLURM_JOB_NUM_NODES" "$JOIN_S" <<'PYTHON'
import sys
import time

import ray

wanted, patience_s = int(sys.argv[1]), float(sys.argv[2])
give_up = time.monotonic() + patience_s
there = 0
while there < wanted:
    if time.monotonic() > give_up:
        sys.exit(f"{there} of {wanted} nodes have joined the Ray cluster after {patience_s:g} s: see above")
    try:
        ray.init(log_to_driver=False, ignore_reinit_error=True)  # at RAY_ADDRESS
        there = sum(node["Alive"] for node in ray.nodes())
    except ConnectionError:  # the head listens before it is a node itself
        pass
    time.sleep(2)
print(f"{there} nodes, {ray.cluster_resources().get('GPU', 0):g} GPUs", flush=True)
PYTHON

"${on_nodes[@]}" --nodes=1 --ntasks=1 --nodelist="$head" "$@"
