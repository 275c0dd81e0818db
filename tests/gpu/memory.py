"""A part of `python tests/gpu`: an engine keeps to its share of the GPU's memory, and gives it back when it ends."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from typing import Any

from part import GIB, Wrong, end_with, engine_arguments, gpu_memory, options_of

from grm_plugin.config import VLLMConfig
from grm_plugin.engines.vllm import VLLMEngine
from support.tiny_models import make_tiny_model
from support.vllm_parity import PROMPTS, write

NAME = "gemma_2"
SHARE = 0.3
SLACK_BYTES = 1.5 * GIB
"""What CUDA itself takes beside vLLM's share."""

LEFT_BYTES = 0.1 * GIB
GONE_S = 20.0
ROUNDS = 2


async def start_and_stop(model: VLLMConfig, on_gpu: bool) -> dict[str, Any]:
    before, total = gpu_memory() if on_gpu else (0, 1)
    began = time.monotonic()
    engine = VLLMEngine(model)
    started_s = time.monotonic() - began
    try:
        await write(engine, PROMPTS[0])
        held = gpu_memory()[0] - before if on_gpu else 0
    finally:
        engine.shutdown()
    until = time.monotonic() + GONE_S
    while True:
        left = gpu_memory()[0] - before if on_gpu else 0
        children = [child.name for child in multiprocessing.active_children()]
        if (left < LEFT_BYTES and not children) or time.monotonic() > until:
            break
        await asyncio.sleep(0.2)
    figures = {"started_s": started_s, "held_gib": held / GIB, "share_gib": SHARE * total / GIB, "left_gib": left / GIB}
    if children:
        raise Wrong(f"still there after the end: {children}", figures)
    if left >= LEFT_BYTES:
        raise Wrong("the GPU's memory is not given back", figures)
    if on_gpu and not 0.5 * SHARE * total < held < SHARE * total + SLACK_BYTES:
        raise Wrong("it does not hold its share", figures)
    return figures


async def rounds(options: argparse.Namespace) -> dict[str, Any]:
    folder = options.folder / NAME
    if not (folder / "config.json").exists():
        make_tiny_model(NAME, folder)
    model = VLLMConfig(
        model=str(folder),
        max_model_len=512,
        dtype="bfloat16",
        gpu_memory_utilization=SHARE,
        engine_args=engine_arguments(NAME, options.device),
    )
    rounds = range(1, 2 if options.tiny else 1 + ROUNDS)
    return {f"round {number}": await start_and_stop(model, options.device == "cuda") for number in rounds}


if __name__ == "__main__":
    chosen = options_of(__doc__).parse_args()
    end_with(lambda: asyncio.run(rounds(chosen)))
