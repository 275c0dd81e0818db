"""vLLM in this process, without a server: starts an engine on a model folder, samples and rates chats."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grm_plugin.types import Completion, Conversation, message_dicts


def start_engine(folder: Path, **options: Any) -> Any:
    """A `vllm.LLM`; on a CPU it is told to take little memory and to leave the cores to the scheduler."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    from vllm import LLM

    return LLM(str(folder), max_model_len=1024, enforce_eager=True, disable_log_stats=True, seed=0, **options)


def chat(engine: Any, conversations: Sequence[Conversation], n: int, temperature: float) -> list[list[Completion]]:
    """n samples of each conversation."""
    from vllm import SamplingParams

    sampling = SamplingParams(n=n, temperature=temperature, max_tokens=250)
    outputs = engine.chat([message_dicts(conversation) for conversation in conversations], sampling, use_tqdm=False)
    return [[Completion(o.text, o.finish_reason, len(o.token_ids)) for o in output.outputs] for output in outputs]


def rate(engine: Any, conversations: Sequence[Conversation]) -> list[float]:
    """The logit of each conversation, from an engine started with `runner="pooling"`."""
    from vllm import PoolingParams

    tokenizer = engine.get_tokenizer()
    prompts = [
        {"prompt_token_ids": tokenizer.apply_chat_template(message_dicts(conversation), return_dict=False)}
        for conversation in conversations
    ]
    params = PoolingParams(use_activation=False)
    outputs = engine.encode(prompts, pooling_task="classify", pooling_params=params, use_tqdm=False)
    return [float(output.outputs.data.squeeze()) for output in outputs]
