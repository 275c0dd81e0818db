#!/usr/bin/env bash
# Rule-based online RL of a 16B GRM, on one node with 8 x 80 GB.
#
#   DATA=runs/spct/rl.jsonl MODEL=runs/spct/grm_16b_rft bash examples/spct/rl_16b.sh [more flags of OpenRLHF's train_ppo_ray]
#
# The paper's setting: GRPO with G = 4, learning rate 4e-7, batch 512, 900 steps, KL coefficient 0.002, a reward of +1 or -1
# and none for the format: the KL term is what holds it. A smaller one made subsets collapse.
# The paper does not say whether 512 counts prompts or critiques. Here it counts critiques: 128 prompts x 4 a step, and
# 900 x 128 = 115,200 prompts.
# Eq. 15 averages the loss over the tokens of each critique first, then over critiques: seq-mean-token-mean. OpenRLHF's own
# default weighs every token alike, and so long critiques more; its KL term still does.
# Trainer, reference and rollout engines share all 8 GPUs and take turns (OpenRLHF's hybrid engine).
# No service runs beside it: the reward is a rule. DATA is the output of `grm-plugin spct rl-data`.
#
# It refuses DeepSeek-V2, the paper's 16B model, for OpenRLHF 0.11.2 cannot hand its weights to vLLM. transformers 5 names
# the experts of a layer in one tensor (mlp.experts.gate_up_proj), and vLLM's loader of this model knows none of that name:
# the job would end at its first weight sync, after a whole step. Splitting the names is not enough: what vLLM derives from
# weights once, after loading (the absorbed attention matrices; on some GPUs another layout of the experts), would keep
# the old values or take wrong ones, without an error. A dense model of this size, or one whose experts vLLM loads in
# transformers' names and layout, goes through.
set -euo pipefail

MODEL=${MODEL:-runs/spct/grm_16b_rft}
DATA=${DATA:-runs/spct/rl.jsonl}
OUTPUT=${OUTPUT:-runs/spct/grm_16b}

if grep -qs '"model_type": *"deepseek_v2"' "$MODEL/config.json"; then
    echo "$MODEL is a DeepSeek-V2, whose experts OpenRLHF 0.11.2 cannot hand to vLLM: see the top of $0" >&2
    exit 2
fi

python -m openrlhf.cli.train_ppo_ray \
    --actor.model_name_or_path "$MODEL" \
    --actor.num_nodes 1 --actor.num_gpus_per_node 8 --ref.num_nodes 1 --ref.num_gpus_per_node 8 \
    --vllm.num_engines 8 --vllm.tensor_parallel_size 1 --vllm.gpu_memory_utilization 0.5 --vllm.enable_prefix_caching \
    --train.colocate_all --vllm.enable_sleep --ds.enable_sleep \
    --reward.remote_url "$(grm-plugin path openrlhf-spct-reward)" \
    --algo.advantage.estimator group_norm --algo.advantage.is_correction_level token \
    --actor.loss_agg_mode seq-mean-token-mean \
    --algo.kl.use_loss --algo.kl.estimator k3 --algo.kl.init_coef 0.002 \
    --data.prompt_dataset "$DATA" --data.input_key prompt --data.label_key label --data.apply_chat_template \
    --data.max_len 8192 --rollout.max_new_tokens 2048 --data.max_samples 115200 \
    --rollout.batch_size 128 --rollout.n_samples_per_prompt 4 --rollout.micro_batch_size 4 \
    --train.batch_size 512 --train.micro_batch_size 1 --train.max_epochs 1 --train.num_episodes 1 \
    --actor.adam.lr 4e-7 --actor.gradient_checkpointing_enable \
    --ds.zero_stage 3 --ds.attn_implementation sdpa \
    --ckpt.output_dir "$OUTPUT" --ckpt.path "$OUTPUT/checkpoints" --ckpt.save_steps 100 --ckpt.save_hf --ckpt.load_enable \
    --logger.tensorboard_dir "$OUTPUT/tensorboard" \
    "$@"
