"""Checks memory by a rule of thumb: weights, 2 GiB, and the KV cache of one sequence of full length must fit."""

from __future__ import annotations

import os
from pathlib import Path

from grm_plugin.batch.local_gpus import local_gpus
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.cpu.profile import DEFAULTS
from grm_plugin.doctor.findings import Finding, error, ok, warning
from grm_plugin.doctor.model_files import ModelFiles, find_folder, named_weights, read_files, vllm_models
from grm_plugin.engines.vllm_start import is_cpu_build

GIB = 2**30
WORKING_BYTES = 2 * GIB
"""For activations, CUDA graphs and libraries, per GPU."""


def check_memory(config: Config) -> list[Finding]:
    """Whether the models fit into the GPUs of this machine, or into main memory with a CPU build of vLLM.

    Weights that are not on this machine are as large as the model's name says (`...-16B`), in bfloat16.
    """
    models = vllm_models(config)
    if not models:
        return [ok("memory", "no weights to measure")]
    sized = {section: (model, files) for section, model in models.items() if (files := _files(model.model))}
    findings = [
        warning(f"{section}.model", f"{model.model} is not on this machine: not measured", f"hf download {model.model}")
        for section, model in models.items()
        if section not in sized
    ]
    if is_cpu_build():
        return findings + ([_fit_in_main_memory(list(sized.values()))] if sized else [])
    gpus = local_gpus()
    if not gpus:
        return [warning("memory", "no GPU on this machine to measure the models against", "run this on a GPU node")]
    smallest = min(gpu.total for gpu in gpus)
    return findings + [
        fit_on_gpu(f"{section}.model", model, files, smallest) for section, (model, files) in sized.items()
    ]


def _files(model: str) -> ModelFiles | None:
    """The model's files, or what its name says of them; None where neither is there."""
    if folder := find_folder(model):
        return read_files(folder)
    weights = named_weights(model)
    return None if weights is None else ModelFiles(None, {}, weights, ())


def fit_on_gpu(key: str, model: VLLMConfig, files: ModelFiles, gpu_bytes: int) -> Finding:
    """Whether a model, named by its configuration key, fits into `tensor_parallel_size` GPUs of `gpu_bytes` each."""
    parallel = model.tensor_parallel_size
    usable = model.gpu_memory_utilization * gpu_bytes
    left = usable - files.weights / parallel - WORKING_BYTES
    by_name = "" if files.folder else " (by its name)"
    sizes = (
        f"{files.weights / parallel / GIB:,.1f} GiB of weights{by_name} in {usable / GIB:,.1f} GiB "
        f"({model.gpu_memory_utilization:g} of each of {parallel} GPU(s))"
    )
    if left <= 0:
        return error(
            key, f"does not fit: {sizes}", f"raise {key.split('.')[0]}.tensor_parallel_size, or use larger GPUs"
        )
    per_token, length = files.kv_bytes(parallel), model.max_model_len or files.context
    if per_token is None or length is None:
        return ok(key, f"{sizes}, {left / GIB:,.1f} GiB left for the KV cache")
    sequences = left / per_token / length
    room = f"{sizes}; the KV cache holds about {left / per_token:,.0f} tokens"
    if sequences < 1:
        fix = f"lower {key.split('.')[0]}.max_model_len ({length}), or raise tensor_parallel_size"
        return error(key, f"{room}, less than one longest sequence", fix)
    return ok(key, f"{room}, {sequences:,.0f} of the longest sequences at once")


def _fit_in_main_memory(models: list[tuple[VLLMConfig, ModelFiles]]) -> Finding:
    kv_gib = float(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or DEFAULTS["VLLM_CPU_KVCACHE_SPACE"])
    needed = sum(model.replicas * (files.weights + kv_gib * GIB + WORKING_BYTES) for model, files in models)
    available = _available_bytes()
    if available is None:
        return warning("memory", f"about {needed / GIB:,.1f} GiB are needed; this system does not say what is free")
    by_name = "" if all(files.folder for _, files in models) else " (by the models' names)"
    sizes = f"about {needed / GIB:,.1f} GiB needed for vLLM on CPU{by_name}, {available / GIB:,.1f} GiB available"
    if needed > available:
        return error("memory", sizes, "free memory, lower replicas, or set VLLM_CPU_KVCACHE_SPACE (GiB) lower")
    return ok("memory", sizes)


def _available_bytes() -> int | None:
    """Main memory that processes can still take without swapping; None where the system does not say (not Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
