"""vLLM's own offline `generate` on the prompts that the service would send, for as long as it is told to.

    python -m reward_path.vllm_side MODEL GROUPS TOKENS

Standard input: `run SEED`; each is answered by a line of JSON with the seconds and the tokens generated.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from reward_path.texts import K, single_questions


def prompts(groups: int, seed: int) -> list[Any]:
    """The judge's own prompts for groups of one response."""
    import random

    from grm_plugin.config.loading import load_config
    from grm_plugin.judging.prompts import PromptBuilder, draw_marker
    from grm_plugin.types import Group, Message

    builder = PromptBuilder.of(load_config({"engine": {"type": "fake"}}))
    rng = random.Random(seed)
    return [
        [
            {"role": turn.role, "content": turn.content}
            for turn in builder.listwise(
                Group((Message("user", prompt),), (response,)), (0,), draw_marker(rng)
            ).messages
        ]
        for prompt, response in single_questions(groups, seed)
    ]


def main() -> None:
    model, groups, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what vLLM prints is no answer
    from vllm import LLM, SamplingParams

    llm = LLM(model, max_model_len=2048, gpu_memory_utilization=0.4)
    params = SamplingParams(n=K, temperature=0.5, max_tokens=tokens)
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        conversations = prompts(groups, int(line.split()[1]))
        began = time.perf_counter()
        outputs = llm.chat(conversations, params, use_tqdm=False)
        wall_s = time.perf_counter() - began
        made = sum(len(each.token_ids) for output in outputs for each in output.outputs)
        print(json.dumps({"wall_s": wall_s, "tokens": made}), file=answers, flush=True)


if __name__ == "__main__":
    main()
