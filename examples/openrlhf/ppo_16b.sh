#!/usr/bin/env bash
# PPO (GAE and a critic) of a 7B policy, rewarded by DeepSeek-GRM-16B, on one node with 8 x 80 GB.
#
#   bash examples/openrlhf/ppo_16b.sh [more OpenRLHF flags] [--grm.KEY VALUE ...]
#
# GPUs: GRM 1 | actor and reference 2 | critic 2 | rollout engines 3.
#
# PPO needs one sample per prompt, but a GRM compares: with n = 4 each response is judged beside three others, which
# gives finer scores than one alone. The prompts per step are a quarter of what they would be with n = 1. Unlike group
# estimators, PPO sees the level of the reward, so it is centred: normalize.method running has mean 0 and spread 1.
# Adam's states of actor and critic are in CPU memory (some 240 GB): with them, two GPUs of 80 GB each have no room left for
# the activations of a batch of long responses. For the same reason its micro batches are small.
set -euo pipefail

POLICY=${POLICY:-Qwen/Qwen2.5-7B-Instruct}
OUTPUT=${OUTPUT:-runs/ppo_16b}

python -m grm_plugin.integrations.openrlhf.train_ppo_ray \
    --grm.config configs/deepseek_grm_16b.yaml \
    --grm.normalize.method running --grm.normalize.clip 5 \
    --actor.model_name_or_path "$POLICY" --critic.model_name_or_path "$POLICY" \
    --actor.num_nodes 1 --actor.num_gpus_per_node 2 \
    --ref.num_nodes 1 --ref.num_gpus_per_node 2 --train.colocate_actor_ref \
    --critic.num_nodes 1 --critic.num_gpus_per_node 2 \
    --vllm.num_engines 3 --vllm.tensor_parallel_size 1 --vllm.gpu_memory_utilization 0.85 \
    --vllm.enable_prefix_caching \
    --algo.advantage.estimator gae --algo.kl.init_coef 0.01 \
    --algo.advantage.is_correction_level token \
    --data.prompt_dataset OpenRLHF/prompt-collection-v0.1 --data.input_key context_messages \
    --data.apply_chat_template --data.max_len 3072 --rollout.max_new_tokens 2048 \
    --rollout.batch_size 256 --rollout.n_samples_per_prompt 4 --rollout.micro_batch_size 4 \
    --train.batch_size 128 --train.micro_batch_size 2 \
    --actor.adam.lr 5e-7 --critic.adam.lr 9e-6 \
    --actor.gradient_checkpointing_enable --critic.freezing_steps 10 --ds.adam_offload \
    --ds.zero_stage 3 --ds.packing_samples \
    --ckpt.output_dir "$OUTPUT/policy" --ckpt.path "$OUTPUT/checkpoints" --ckpt.save_steps 50 --ckpt.save_hf \
    --logger.tensorboard_dir "$OUTPUT/tensorboard" \
    "$@"
