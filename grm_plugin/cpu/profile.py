"""What the CPU profile consists of: the environment of a job, and the table of patches."""

from __future__ import annotations

import functools
import gc
import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

from grm_plugin.cpu import patches_cluster, patches_device, patches_sync, patches_training
from grm_plugin.cpu.device import profile_applies
from grm_plugin.cpu.import_hooks import Patch, PatchingFinder, Surroundings

SITE = Path(__file__).resolve().parent / "site"

SWITCH = "GRM_CPU"

DEFAULTS = {
    # No CUDA accelerator for DeepSpeed to look for.
    "DS_ACCELERATOR": "cpu",
    # The job is on one machine; the default route's interface need not exist there.
    "GLOO_SOCKET_IFNAME": "lo",
    # GiB for the KV cache of one engine; vLLM would take half of the memory.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # vLLM pins its threads to cores that the trainer also needs.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Compiling costs more than a small model's whole job gains, and needs a C++ compiler.
    "TORCH_COMPILE_DISABLE": "1",
    # One process per engine instead of two, which each would import torch and vLLM for seconds.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TOKENIZERS_PARALLELISM": "false",
    # Ray hides all GPUs from a process that asked for none, which is pointless where all GPUs are made up.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
}

AFTER: dict[str, Patch] = {
    "torch": patches_device.stub_cuda,
    "openrlhf.trainer.ppo_utils.replay_buffer": patches_device.replace_cuda_devices,
    "openrlhf.utils.deepspeed.deepspeed_utils": patches_training.use_torch_adam,
    "deepspeed.comm.torch": patches_training.skip_shared_memory_op,
    "deepspeed.runtime.zero.partition_parameters": patches_training.gather_parameters_in_turn,
    "openrlhf.utils.distributed_util": patches_sync.sync_weights_over_gloo,
    "openrlhf.trainer.ray.vllm_worker_wrap": patches_sync.receive_weights_on_cpu,
}

DURING: dict[str, Surroundings] = {
    "openrlhf.models.ring_attn_utils": patches_training.flash_attention_stubs,
}


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that a job under the CPU profile needs on top of an environment; none where CUDA is present.

    A variable that `base` already sets is left out, so the user's value stays; only PYTHONPATH is extended.

    Args:
        base: the environment to add to, `os.environ` by default.
    """
    if not profile_applies():
        return {}
    base = os.environ if base is None else base
    inherited = [entry for entry in base.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", str(SITE))]
    defaults = {key: value for key, value in DEFAULTS.items() if key not in base}
    return {**defaults, "PYTHONPATH": os.pathsep.join([str(SITE), *inherited]), SWITCH: "1"}


def enable() -> None:
    """Register the import hooks in this process; nothing happens unless `GRM_CPU=1`. Imports nothing heavy."""
    if os.environ.get(SWITCH) == "1":
        _install()


@functools.cache
def _install() -> None:
    # Importing torch and vLLM makes millions of objects, and a fifth of its time went into looking for garbage there.
    gc.set_threshold(10_000)
    # ray.init asks at its call: Ray's helper processes import ray, and must not import torch because of it.
    after = {"ray": patches_cluster.start_private_cluster, **{name: _on_cpu(patch) for name, patch in AFTER.items()}}
    PatchingFinder(after, {name: _around_on_cpu(context) for name, context in DURING.items()}).install()


def _on_cpu(patch: Patch) -> Patch:
    def run(module: ModuleType) -> None:
        if profile_applies():
            patch(module)

    return run


def _around_on_cpu(surroundings: Surroundings) -> Surroundings:
    return lambda: surroundings() if profile_applies() else nullcontext()
