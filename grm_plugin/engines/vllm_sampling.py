"""Sampling as vLLM takes it, and whether the installed vLLM can do what is asked of it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from grm_plugin.config import SamplingConfig
from grm_plugin.errors import EngineError
from grm_plugin.types import Sampling

SHORTEST_PATTERN = 8
"""Tokens. A pattern of fewer is one of these once it has repeated: `----` or a table's rule is none yet."""


def check_vllm_can(sampling: SamplingConfig) -> None:
    """Check, before a model is loaded, that vLLM has what the configuration asks of it. Nothing is left out silently.

    Raises:
        EngineError: the installed vLLM is too old.
    """
    asked = {}
    if sampling.thinking_tokens is not None:
        asked["thinking_token_budget"] = "sampling.thinking_tokens"
    if sampling.repetition is not None:
        asked["repetition_detection"] = "sampling.repetition"
    if not asked:
        return
    try:
        from vllm import SamplingParams
    except ImportError:  # starting it will say so
        return
    known = inspect.signature(SamplingParams).parameters
    for name, key in asked.items():
        if name not in known:
            raise EngineError(
                f"{key}: the installed vLLM does not know {name}; install a newer one (0.32 knows it), or leave it out"
            )


def sampling_params(sampling: Sampling, max_tokens: int, stops: Sequence[int], **further: Any) -> Any:
    """vLLM's SamplingParams.

    Args:
        sampling: as an engine is asked (`judging.seams.as_asked`).
        max_tokens: of a completion, by the room that there is.
        stops: tokens that end one, beside those of the model's generation_config.json.
        further: other parameters.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    if sampling.thinking_max is not None:
        further["thinking_token_budget"] = sampling.thinking_max
    if sampling.repetition is not None:
        from vllm.sampling_params import RepetitionDetectionParams

        longest, times = sampling.repetition
        further["repetition_detection"] = RepetitionDetectionParams(
            max_pattern_size=longest, min_pattern_size=min(SHORTEST_PATTERN, longest), min_count=times
        )
    return SamplingParams(
        n=sampling.n,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=max_tokens,
        seed=sampling.seed,
        stop_token_ids=list(stops),
        output_kind=RequestOutputKind.FINAL_ONLY,
        **further,
    )


def end_of_thinking(llm: Any) -> int | None:
    """The token that ends thinking, of a running vLLM; None where it knows none, or it is more than one."""
    reasoning = getattr(llm.vllm_config, "reasoning_config", None)
    tokens: list[int] = getattr(reasoning, "natural_reasoning_end_token_ids", None) or []
    return int(tokens[0]) if len(tokens) == 1 else None
