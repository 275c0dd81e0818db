#!/usr/bin/env bash
# The meta RM of a 27B GRM: Gemma-2-27B as a scalar model, on two nodes with 8 x 80 GB each. Run it on every node.
#
#   MASTER=HOST NODE=0|1 DATA=runs/spct/meta.jsonl bash examples/spct/meta_rm_27b.sh [more flags of spct meta-rm]
#
# The paper's setting: learning rate 1e-5, batch 512, binary cross-entropy. The number of epochs is not stated; one here.
# DATA is the output of `grm-plugin spct meta-rm-data`. The figures on held-out items come at the end, and are in
# metrics.json of OUTPUT, which is what `meta_rm.model` of a configuration names.
# FlashAttention 2 is what keeps Gemma 2's soft cap in memory that fits; vLLM serves the cap, and sdpa would leave it out.
# A killed run goes on from its last checkpoint when the same command is given again; another one is refused. OUTPUT must be
# a folder that both nodes share: each node writes its part of a checkpoint there, and only node 0 the rest.
# A 16B GRM can use the same meta RM, or a smaller one: MODEL is any model with a chat template.
set -euo pipefail

MODEL=${MODEL:-google/gemma-2-27b-it}
DATA=${DATA:-runs/spct/meta.jsonl}
OUTPUT=${OUTPUT:-runs/spct/meta_rm_27b}

torchrun --nnodes 2 --node_rank "${NODE:-0}" --nproc_per_node 8 --master_addr "${MASTER:-localhost}" --master_port 29500 \
    -m grm_plugin.cli spct meta-rm \
    --model "$MODEL" --data "$DATA" --output "$OUTPUT" \
    --lr 1e-5 --batch 512 --micro-batch 2 --epochs 1 --max-length 8192 \
    --gradient-checkpointing --deepspeed configs/spct/zero3.json --save-steps 100 \
    --attn-implementation flash_attention_2 \
    "$@"
