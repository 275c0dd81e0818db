#!/usr/bin/env bash
# An OpenRLHF job and the GRM that rewards it, on one node of 8 GPUs under Slurm. In the root of the repository:
#
#   sbatch examples/deploy/slurm/one_node.sh bash examples/openrlhf/grpo_16b.sh [more flags]
#
# Behind the script's name stands the job to run. The virtual environment is active when sbatch is called (Slurm hands the
# environment on), and the weights have been downloaded (see the comments in the job's script).
#SBATCH --job-name=grm
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=8
# All cores and all memory: the launcher's Ray cluster takes what it sees, and others on the node would lose theirs.
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail

# Compute nodes seldom reach the internet: fail at once where weights are missing, not after minutes of retries.
export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-1}

# Left over from a login shell, it would send the job to another cluster. The launcher starts one for this job alone.
unset RAY_ADDRESS

# The service listens on this node only; its other users shall not read the job's prompts, so it asks for a token of this
# job, which the hooks get from the launcher.
GRM_TOKEN=$(python -c 'import secrets; print(secrets.token_urlsafe(32))')
export GRM_TOKEN

# As a step, so that `scancel` and the end of the time limit signal the launcher, and not only this shell.
# --cpus-per-task: srun would give the step one core otherwise.
exec srun --ntasks=1 --cpus-per-task="$SLURM_CPUS_ON_NODE" "$@"
