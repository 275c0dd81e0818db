"""A part of `python tests/gpu`: tokens/s of a model of 16B's shape, through our engine or vLLM's offline `LLM`.

Both get the same prompts, the same number of completions and tokens, and the same arguments of vLLM. What `vllm bench
throughput` measures is the second one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import string
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from part import Wrong, end_with, options_of

from grm_plugin.config import VLLMConfig
from grm_plugin.cpu.profile import DEFAULTS
from grm_plugin.engines.chat_tokens import token_ids
from grm_plugin.engines.vllm import VLLMEngine
from grm_plugin.engines.vllm_start import CPU_THREADS
from grm_plugin.types import Message, Prompt, Sampling
from support.released_models import RELEASED
from support.tiny_models import write_configuration

NAME = "deepseek_v2"


@dataclass(frozen=True)
class Shape:
    """`lists` prompts of some `prompt` tokens, `n` critiques of `tokens` tokens for each."""

    lists: int
    prompt: int
    n: int
    tokens: int


LARGE = Shape(lists=64, prompt=1024, n=8, tokens=256)
TINY = Shape(lists=4, prompt=64, n=2, tokens=16)
CONTEXT = 4096


def prompts(shape: Shape) -> list[Prompt]:
    """Random letters, each of which is a token."""
    rng = random.Random(0)
    texts = ("".join(rng.choices(string.ascii_lowercase, k=shape.prompt)) for _ in range(shape.lists))
    return [Prompt((Message("user", text),), (0,)) for text in texts]


def model_of(options: argparse.Namespace) -> VLLMConfig:
    released = RELEASED[NAME]
    folder: Path = options.folder / f"shape of {NAME}"
    write_configuration(released, folder, released.smaller if options.tiny else {}, fill=True)
    arguments = {"load_format": "dummy"}
    if options.device == "cpu":
        arguments["attention_backend"] = "CPU_MLA"
    return VLLMConfig(model=str(folder), max_model_len=CONTEXT, dtype="bfloat16", engine_args=arguments)


async def ours(model: VLLMConfig, shape: Shape) -> dict[str, Any]:
    engine = VLLMEngine(model)
    try:
        sampling = Sampling(n=shape.n, temperature=1.0, top_p=1.0, max_tokens=shape.tokens)
        await engine.generate(prompts(shape)[0], sampling)
        began = time.monotonic()
        answers = await asyncio.gather(*(engine.generate(prompt, sampling) for prompt in prompts(shape)[1:]))
        took_s = time.monotonic() - began
    finally:
        engine.shutdown()
    return figures(sum(completion.tokens for answer in answers for completion in answer), took_s, shape)


def theirs(model: VLLMConfig, shape: Shape, device: str) -> dict[str, Any]:
    if device == "cpu":
        for key, value in (DEFAULTS | CPU_THREADS).items():
            os.environ.setdefault(key, value)
    from vllm import LLM, SamplingParams

    # As our engine calls it.
    arguments = (
        {"gpu_memory_utilization": model.gpu_memory_utilization, "max_num_seqs": 1024}
        if device == "cuda"
        else {"enforce_eager": True, "enable_chunked_prefill": False}
    )
    llm = LLM(model=model.model, max_model_len=model.max_model_len, dtype=model.dtype, **arguments, **model.engine_args)
    tokenizer = llm.get_tokenizer()
    asked: Any = [
        {"prompt_token_ids": token_ids(tokenizer, prompt.messages, add_generation_prompt=True)}
        for prompt in prompts(shape)
    ]
    params = SamplingParams(n=shape.n, temperature=1.0, max_tokens=shape.tokens, ignore_eos=True)
    llm.generate(asked[:1], params, use_tqdm=False)
    began = time.monotonic()
    answers = llm.generate(asked[1:], params, use_tqdm=False)
    took_s = time.monotonic() - began
    return figures(sum(len(output.token_ids) for answer in answers for output in answer.outputs), took_s, shape)


def figures(tokens: int, took_s: float, shape: Shape) -> dict[str, Any]:
    found = {"tokens_per_s": tokens / took_s, "tokens": tokens, "took_s": took_s}
    if tokens < 0.9 * (shape.lists - 1) * shape.n * shape.tokens:
        raise Wrong("fewer tokens than asked for: completions ended early", found)
    return found


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("through", choices=["grm_plugin", "vllm"])
    chosen = parser.parse_args()
    wanted = TINY if chosen.tiny else LARGE
    if chosen.through == "vllm":
        end_with(lambda: theirs(model_of(chosen), wanted, chosen.device))
    else:
        end_with(lambda: asyncio.run(ours(model_of(chosen), wanted)))
