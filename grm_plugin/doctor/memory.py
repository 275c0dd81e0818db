"""Checks memory by a rule of thumb: weights, 2 GiB, and the KV cache of one sequence of full length must fit."""

from __future__ import annotations

import os
from pathlib import Path

from grm_plugin._util.nvidia_gpus import GIB, local_gpus
from grm_plugin.config import Config, VLLMConfig
from grm_plugin.cpu.profile import DEFAULTS
from grm_plugin.doctor.findings import Finding, error, ok, warning
from grm_plugin.engines.gpu_room import WORKING_BYTES, room_on_gpu
from grm_plugin.engines.model_files import ModelFiles, find_folder, named_weights, read_files, vllm_models
from grm_plugin.engines.vllm_start import is_cpu_build

UNEQUAL = 0.95
"""GPUs whose memory differs by more than this share are told; drivers keep some of it, not everywhere the same."""


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
    smallest, largest = min(gpu.total for gpu in gpus), max(gpu.total for gpu in gpus)
    if smallest < UNEQUAL * largest:
        unequal = ", ".join(f"{gpu.name}: {gpu.total / GIB:,.0f} GiB" for gpu in gpus)
        fix = "choose equal ones by CUDA_VISIBLE_DEVICES, or count on the smallest"
        findings.append(warning("memory", f"the GPUs are not equal ({unequal}): a model may get any of them", fix))
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
    parallel, room = model.tensor_parallel_size, room_on_gpu(model, files, gpu_bytes)
    by_name = "" if files.folder else " (by its name)"
    sizes = (
        f"{room.weights / GIB:,.1f} GiB of weights{by_name} in {room.usable / GIB:,.1f} GiB "
        f"({model.gpu_memory_utilization:g} of each of {parallel} GPU(s))"
    )
    if room.left <= 0:
        return error(
            key, f"does not fit: {sizes}", f"raise {key.split('.')[0]}.tensor_parallel_size, or use larger GPUs"
        )
    length = model.max_model_len or files.context
    if room.kv_tokens is None or length is None:
        return ok(key, f"{sizes}, {room.left / GIB:,.1f} GiB left for the KV cache")
    sequences = room.kv_tokens / length
    held = f"{sizes}; the KV cache holds about {room.kv_tokens:,.0f} tokens"
    if sequences < 1:
        fix = f"lower {key.split('.')[0]}.max_model_len ({length}), or raise tensor_parallel_size"
        return error(key, f"{held}, less than one longest sequence", fix)
    return ok(key, f"{held}, {sequences:,.0f} of the longest sequences at once")


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
