#!/usr/bin/env bash
# Rule-based online RL of a 27B GRM, on two nodes with 8 x 80 GB each (a Ray cluster of both).
#
#   DATA=runs/spct/rl.jsonl MODEL=runs/spct/grm_27b_rft bash examples/spct/rl_27b.sh [more flags of OpenRLHF's train_ppo_ray]
#
# The paper's setting: GRPO with G = 4, learning rate 4e-7, batch 512, 900 steps, KL coefficient 0.08, a reward of +1 or -1
# and none for the format: the KL term is what holds it. A smaller one made subsets collapse.
# The paper does not say whether 512 counts prompts or critiques. Here it counts critiques: 128 prompts x 4 a step, and
# 900 x 128 = 115,200 prompts.
# Eq. 15 averages the loss over the tokens of each critique first, then over critiques: seq-mean-token-mean. OpenRLHF's own
# default weighs every token alike, and so long critiques more; its KL term still does.
# Trainer, reference and rollout engines share all 16 GPUs and take turns (OpenRLHF's hybrid engine).
# Of transformers' implementations, sdpa leaves out Gemma 2's soft cap and eager needs more memory than there is.
# No service runs beside it: the reward is a rule. DATA is the output of `grm-plugin spct rl-data`.
set -euo pipefail

MODEL=${MODEL:-runs/spct/grm_27b_rft}
DATA=${DATA:-runs/spct/rl.jsonl}
OUTPUT=${OUTPUT:-runs/spct/grm_27b}

python -m openrlhf.cli.train_ppo_ray \
    --actor.model_name_or_path "$MODEL" \
    --actor.num_nodes 2 --actor.num_gpus_per_node 8 --ref.num_nodes 2 --ref.num_gpus_per_node 8 \
    --vllm.num_engines 8 --vllm.tensor_parallel_size 2 --vllm.gpu_memory_utilization 0.5 --vllm.enable_prefix_caching \
    --train.colocate_all --vllm.enable_sleep --ds.enable_sleep \
    --reward.remote_url "$(grm-plugin path openrlhf-spct-reward)" \
    --algo.advantage.estimator group_norm --algo.advantage.is_correction_level token \
    --actor.loss_agg_mode seq-mean-token-mean \
    --algo.kl.use_loss --algo.kl.estimator k3 --algo.kl.init_coef 0.08 \
    --data.prompt_dataset "$DATA" --data.input_key prompt --data.label_key label --data.apply_chat_template \
    --data.max_len 8192 --rollout.max_new_tokens 2048 --data.max_samples 115200 \
    --rollout.batch_size 128 --rollout.n_samples_per_prompt 4 --rollout.micro_batch_size 1 \
    --train.batch_size 512 --train.micro_batch_size 1 --train.max_epochs 1 --train.num_episodes 1 \
    --actor.adam.lr 4e-7 --actor.gradient_checkpointing_enable \
    --ds.zero_stage 3 --ds.attn_implementation flash_attention_2 \
    --ckpt.output_dir "$OUTPUT" --ckpt.path "$OUTPUT/checkpoints" --ckpt.save_steps 100 --ckpt.save_hf --ckpt.load_enable \
    --logger.tensorboard_dir "$OUTPUT/tensorboard" \
    "$@"
