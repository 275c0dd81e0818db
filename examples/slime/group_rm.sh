#!/bin/sh
# slime with a GRM as its reward. Start the service first, on GPUs that slime does not use; slime gives up a reward after
# 120 s, so the service must answer sooner:
#
#     grm-plugin serve --config configs/deepseek_grm_16b.yaml --grm.failure.deadline_s 110
#
# Then add these flags to your slime command (MODEL_ARGS, CKPT_ARGS, ROLLOUT_ARGS ... as in slime's scripts):
GRM_URL=${GRM_URL:-http://127.0.0.1:8790}

GRM_ARGS="
    --group-rm
    --custom-rm-path grm_plugin.integrations.slime.grm_reward.custom_rm
    --rm-url $GRM_URL
    --reward-key grm
"

# Without our code in the job; the service gathers the samples of a prompt, n is --n-samples-per-prompt:
#
#     --rm-type remote_rm --rm-url http://127.0.0.1:8790/v1/sample?n=8

python3 train.py $GRM_ARGS "$@"
