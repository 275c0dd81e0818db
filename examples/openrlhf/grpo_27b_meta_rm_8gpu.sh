#!/usr/bin/env bash
# GRPO of a 7B policy, rewarded by DeepSeek-GRM-27B with its meta RM, on one node with 8 x 80 GB.
#
#   bash examples/openrlhf/grpo_27b_meta_rm_8gpu.sh [more OpenRLHF flags] [--grm.KEY VALUE ...]
#
# GPUs: GRM 2 | meta RM 2 | actor and reference 2 | rollout engines 2.
#
# Why this split: each 27B model holds 54 GB of bfloat16 weights. On one 80 GB GPU it would run, but with room for a handful
# of critiques in its KV cache; on two there is some 80 GB for that. Half of the node judges because judging is most of the
# work: for each response that the policy writes, the GRM writes up to eight critiques (k = 32 for a list of four), and
# the meta RM reads them all. Without the meta RM (--grm.meta_rm null) its two GPUs make a second GRM replica
# (--grm.engine.replicas 2): faster, but every critique votes.
# The policy's Adam states are in CPU memory: two GPUs hold the actor and the reference model.
#
# The two judging models are some 110 GB, which the first start would download while all GPUs wait. Better before it:
#   hf download BBQGOD/DeepSeek-GRM-27B; hf download BBQGOD/DeepSeek-GRM-27B-MetaRM
set -euo pipefail

POLICY=${POLICY:-Qwen/Qwen2.5-7B-Instruct}
OUTPUT=${OUTPUT:-runs/grpo_27b_meta_rm}

python -m grm_plugin.integrations.openrlhf.train_ppo_ray \
    --grm.config configs/deepseek_grm_27b_meta_rm.yaml \
    --actor.model_name_or_path "$POLICY" \
    --actor.num_nodes 1 --actor.num_gpus_per_node 2 \
    --ref.num_nodes 1 --ref.num_gpus_per_node 2 --train.colocate_actor_ref \
    --vllm.num_engines 2 --vllm.tensor_parallel_size 1 --vllm.gpu_memory_utilization 0.85 \
    --vllm.enable_prefix_caching \
    --algo.advantage.estimator group_norm \
    --algo.kl.use_loss --algo.kl.estimator k3 --algo.kl.init_coef 1e-3 \
    --algo.advantage.is_correction_level token \
    --data.prompt_dataset OpenRLHF/prompt-collection-v0.1 --data.input_key context_messages \
    --data.apply_chat_template --data.max_len 2048 --rollout.max_new_tokens 1024 \
    --rollout.batch_size 64 --rollout.n_samples_per_prompt 8 --rollout.micro_batch_size 8 \
    --train.batch_size 128 --train.micro_batch_size 2 \
    --actor.adam.lr 5e-7 --actor.gradient_checkpointing_enable --ds.adam_offload \
    --ds.zero_stage 3 --ds.packing_samples \
    --ckpt.output_dir "$OUTPUT/policy" --ckpt.path "$OUTPUT/checkpoints" --ckpt.save_steps 50 --ckpt.save_hf \
    --logger.tensorboard_dir "$OUTPUT/tensorboard" \
    "$@"
