#!/usr/bin/env bash
# GRPO with verl, rewarded by a GRM that compares the samples of a prompt. First, on GPUs that verl does not use:
#   grm-plugin serve --config configs/deepseek_grm_16b.yaml
# then, with the policy and the data (verl's own format, for example by its examples/data_preprocess/gsm8k.py):
#   GRM_URL=http://HOST:8790 POLICY=Qwen/Qwen2.5-7B-Instruct TRAIN=train.parquet VAL=test.parquet examples/verl/reward_manager.sh
# On one node of eight GPUs, the service gets GPUs of its own, and verl the rest, as many as divide its batch of 256 x 8:
#   CUDA_VISIBLE_DEVICES=0,1,2,3 grm-plugin serve --config configs/deepseek_grm_16b.yaml --grm.engine.replicas 4
#   CUDA_VISIBLE_DEVICES=4,5,6,7 GPUS=4 GRM_URL=... examples/verl/reward_manager.sh
# The log goes to the console (trainer.logger='[console,tensorboard]' adds curves) and a checkpoint is kept every 50 steps.
set -euo pipefail

GPUS=${GPUS:-8}

curl --fail --silent --show-error "$GRM_URL/ready" # verl would notice a missing service only after loading the policy

python -m verl.trainer.main_ppo \
    reward.reward_manager.source=importlib \
    reward.reward_manager.module.path=pkg://grm_plugin.integrations.verl.reward_manager \
    reward.reward_manager.name=GRMRewardManager \
    +reward.reward_kwargs.grm.url="$GRM_URL" \
    algorithm.adv_estimator=grpo \
    data.train_files="$TRAIN" data.val_files="$VAL" data.train_batch_size=256 \
    data.max_prompt_length=1024 data.max_response_length=2048 \
    actor_rollout_ref.model.path="$POLICY" \
    actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.n=8 \
    actor_rollout_ref.actor.ppo_mini_batch_size=64 actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4 \
    actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=8 \
    trainer.n_gpus_per_node="$GPUS" trainer.nnodes=1 trainer.logger=console trainer.save_freq=50 "$@"
