#!/usr/bin/env bash
# Rejective fine-tuning of Gemma-2-27B into a GRM, on two nodes with 8 x 80 GB each.
#
#   HOSTFILE=hosts DATA=runs/spct/rft/sft.jsonl bash examples/spct/rft_27b.sh [more flags of openrlhf.cli.train_sft]
#
# The paper's setting: learning rate 5e-6, batch 1024, 900 steps (900 x 1024 = 921,600 rows, so no row is seen twice).
# ZeRO 3 holds about 18 bytes per parameter: 490 GB of weights, gradients and Adam states on 1,280 GB. On one node add
# --ds.adam_offload, which is slower.
# Of transformers' implementations, sdpa leaves out Gemma 2's soft cap and eager needs more memory than there is.
# HOSTFILE is DeepSpeed's: a line `HOST slots=8` for each node.
set -euo pipefail

MODEL=${MODEL:-google/gemma-2-27b-it}
DATA=${DATA:-runs/spct/rft/sft.jsonl}
OUTPUT=${OUTPUT:-runs/spct/grm_27b_rft}
HOSTFILE=${HOSTFILE:-hosts}

deepspeed --hostfile "$HOSTFILE" --module openrlhf.cli.train_sft \
    --model.model_name_or_path "$MODEL" \
    --data.dataset "$DATA" --data.input_key prompt --data.output_key completion --data.apply_chat_template \
    --data.max_len 8192 --data.max_samples 921600 \
    --train.batch_size 1024 --train.micro_batch_size 1 --train.max_epochs 1 \
    --adam.lr 5e-6 --model.gradient_checkpointing_enable \
    --ds.zero_stage 3 --ds.attn_implementation flash_attention_2 \
    --ckpt.output_dir "$OUTPUT" --ckpt.path "$OUTPUT/checkpoints" --ckpt.save_steps 100 --ckpt.load_enable \
    --logger.tensorboard_dir "$OUTPUT/tensorboard" \
    "$@"
