#!/usr/bin/env bash
# Rejective fine-tuning of DeepSeek-V2-Lite into a GRM, on one node with 8 x 80 GB.
#
#   DATA=runs/spct/rft/sft.jsonl bash examples/spct/rft_16b.sh [more flags of openrlhf.cli.train_sft]
#
# The paper's setting: learning rate 5e-6, batch 1024, 900 steps (900 x 1024 = 921,600 rows, so no row is seen twice).
# DATA is the `sft.jsonl` of `grm-plugin spct rft-data`, general instruction data included.
# MODEL is a local copy whose config.json has no auto_map. OpenRLHF always trusts the code beside the weights, and with an
# auto_map transformers takes that code instead of its own class; the one of this model imports a function that
# transformers 5 no longer has. To make the copy:
#
#   hf download deepseek-ai/DeepSeek-V2-Lite-Chat --exclude "*.py" --local-dir models/DeepSeek-V2-Lite-Chat
#   sed -i '/"auto_map": {/,/}/d' models/DeepSeek-V2-Lite-Chat/config.json
#
# ZeRO 3 holds about 18 bytes per parameter: 280 GB of weights, gradients and Adam states on 640 GB.
set -euo pipefail

MODEL=${MODEL:-models/DeepSeek-V2-Lite-Chat}
DATA=${DATA:-runs/spct/rft/sft.jsonl}
OUTPUT=${OUTPUT:-runs/spct/grm_16b_rft}

if [ ! -f "$MODEL/config.json" ] || grep -q '"auto_map"' "$MODEL/config.json"; then
    echo "$MODEL must be a local copy whose config.json has no auto_map: see the top of $0" >&2
    exit 2
fi

deepspeed --num_gpus 8 --module openrlhf.cli.train_sft \
    --model.model_name_or_path "$MODEL" \
    --data.dataset "$DATA" --data.input_key prompt --data.output_key completion --data.apply_chat_template \
    --data.max_len 8192 --data.max_samples 921600 \
    --train.batch_size 1024 --train.micro_batch_size 1 --train.max_epochs 1 \
    --adam.lr 5e-6 --model.gradient_checkpointing_enable \
    --ds.zero_stage 3 --ds.attn_implementation sdpa \
    --ckpt.output_dir "$OUTPUT" --ckpt.path "$OUTPUT/checkpoints" --ckpt.save_steps 100 --ckpt.load_enable \
    --logger.tensorboard_dir "$OUTPUT/tensorboard" \
    "$@"
