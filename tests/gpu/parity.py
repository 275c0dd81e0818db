"""A part of `python tests/gpu`: tiny models of the released architectures on vLLM against transformers on the CPU."""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from part import Wrong, end_with, engine_arguments, options_of

from grm_plugin.config import MetaRMConfig, VLLMConfig
from grm_plugin.engines.vllm import VLLMEngine, VLLMMetaRM
from grm_plugin.types import Sampling
from support.released_models import RELEASED
from support.tiny_models import make_tiny_model
from support.transformers_reference import Reference
from support.vllm_parity import PROMPTS, difference, rate, ratings, rounding, write

MOST_ROUNDING = 2.0
"""vLLM may be so many times as far from float32 as transformers is when it computes in bfloat16."""

MOST_LOGIT = 0.2
"""How far a meta RM's rating may be from transformers in float32, as a part of the spread of the ratings."""


def section(kind: Any, name: str, folder: Path, options: argparse.Namespace) -> Any:
    arguments = engine_arguments(name, options.device) | ({"enforce_eager": True} if options.eager else {})
    return kind(
        model=str(folder), max_model_len=512, dtype="bfloat16", gpu_memory_utilization=0.2, engine_args=arguments
    )


async def grm(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Hold a GRM against transformers, and each feature of its architecture against what was found."""
    engine = VLLMEngine(section(VLLMConfig, name, folder, options))
    try:
        second_runner = engine._llm.vllm_config.use_v2_model_runner
        written = [await write(engine, prompt) for prompt in PROMPTS]
        sampled = await engine.generate(PROMPTS[0], Sampling(n=8, temperature=1.0, top_p=1.0, max_tokens=32, seed=3))
    finally:
        engine.shutdown()
    reference = Reference(folder)
    found = difference(written, reference)
    without = {
        feature: difference(written, Reference(folder, change)).mean
        for feature, change in RELEASED[name].features.items()
    }
    end = reference.tokenizer.convert_tokens_to_ids(RELEASED[name].ends_answers)
    rounded = rounding(written, reference, Reference(folder, dtype="bfloat16"))
    figures = {
        "mean": found.mean,
        "rounding": rounded,
        "without": min(without.values()),
        "ended": sum(one.completion.finish_reason == "stop" for one in written),
        "V2": second_runner,
    }
    if options.device == "cuda" and second_runner is options.eager:
        raise Wrong("another model runner than asked for", figures)
    if found.mean > MOST_ROUNDING * rounded:
        raise Wrong("further from transformers than rounding explains", figures)
    if missing := [feature for feature, mean in without.items() if mean < found.mean]:
        raise Wrong(f"nearer to transformers without {missing}", figures)
    if not all((end in one.tokens[-1:]) == (one.completion.finish_reason == "stop") for one in written):
        raise Wrong("a critique does not end with the token of the chat template", figures)
    if len({completion.text for completion in sampled}) < 2:
        raise Wrong("eight sampled completions are the same", figures)
    return figures


async def meta_rm(name: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Hold a meta RM's ratings against transformers."""
    model = VLLMMetaRM(section(MetaRMConfig, name, folder, options))
    try:
        found = await rate(model)
    finally:
        model.shutdown()
    expected = ratings(Reference(folder))
    furthest = furthest_of(found, expected)
    without = {
        feature: furthest_of(found, ratings(Reference(folder, change)))
        for feature, change in RELEASED[name].features.items()
    }
    figures = {
        "furthest": furthest,
        "rounding": furthest_of(ratings(Reference(folder, dtype="bfloat16")), expected),
        "without": min(without.values()),
        "spread": max(expected) - min(expected),
    }
    if not all(map(math.isfinite, found)) or furthest > MOST_LOGIT * figures["spread"]:
        raise Wrong(f"rated {found}, transformers {expected}", figures)
    if missing := [feature for feature, far in without.items() if far < furthest]:
        raise Wrong(f"nearer to transformers without {missing}", figures)
    return figures


def furthest_of(ratings: Sequence[float], others: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(ratings, others, strict=True))


async def compare(options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for name in options.models:
        folder = options.folder / name
        if not (folder / "config.json").exists():
            make_tiny_model(name, folder)
        check = meta_rm if "num_labels" in RELEASED[name].config else grm
        try:
            figures[name] = await check(name, folder, options)
        except Wrong as wrong:
            raise Wrong(f"{name}: {wrong}", {**figures, name: wrong.figures}) from None
    return figures


if __name__ == "__main__":
    parser = options_of(__doc__)
    parser.add_argument("--eager", action="store_true", help="without compiling, to save time")
    chosen = parser.parse_args()
    end_with(lambda: asyncio.run(compare(chosen)))
