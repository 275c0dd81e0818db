"""The parts of the CPU profile: the environment variables of a job, and the table of patches."""

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
from grm_plugin.cpu.import_hooks import ImportContext, Patch, PatchingFinder

SITE = Path(__file__).resolve().parent / "site"
"""The folder of the `sitecustomize` that calls `enable`."""

SWITCH = "GRM_CPU"
"""The environment variable that turns the profile on."""

DEFAULTS = {
    # DeepSpeed looks for no CUDA accelerator.
    "DS_ACCELERATOR": "cpu",
    # The job is on one machine, which may have no other network interface than this.
    "GLOO_SOCKET_IFNAME": "lo",
    # GiB for the KV cache of one engine; vLLM would take half of the memory.
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # vLLM would bind its threads to cores that the trainer also needs.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    # Compiling takes longer than it saves in the whole job of a small model, and needs a C++ compiler.
    "TORCH_COMPILE_DISABLE": "1",
    # One process per engine instead of two, each of which would take seconds to import torch and vLLM.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TOKENIZERS_PARALLELISM": "false",
    # Ray need not hide GPUs from processes that reserve none: all GPUs are fake.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Environment variables of a job, unless the user has set them."""

PATCHES: dict[str, Patch] = {
    "torch": patches_device.stub_cuda,
    "openrlhf.trainer.ppo_utils.replay_buffer": patches_device.replace_cuda_devices,
    "openrlhf.utils.deepspeed.deepspeed_utils": patches_training.use_torch_adam,
    "deepspeed.comm.torch": patches_training.skip_shared_memory_op,
    "deepspeed.runtime.zero.partition_parameters": patches_training.gather_parameters_in_turn,
    "openrlhf.utils.distributed_util": patches_sync.sync_weights_over_gloo,
    "openrlhf.trainer.ray.vllm_worker_wrap": patches_sync.receive_weights_on_cpu,
}
"""By module: what patches it after its import, on a machine without CUDA."""

IMPORT_CONTEXTS: dict[str, ImportContext] = {
    "openrlhf.models.ring_attn_utils": patches_training.flash_attention_stubs,
}
"""By module: the context in which it is imported, on a machine without CUDA."""


def environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables to add to an environment for a job under the CPU profile; none where CUDA is present.

    A variable that `base` already has is left out, so that the user's value stays; only PYTHONPATH is extended.

    Args:
        base: the environment, `os.environ` by default.
    """
    if not profile_applies():
        return {}
    base = os.environ if base is None else base
    inherited = [entry for entry in base.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", str(SITE))]
    defaults = {key: value for key, value in DEFAULTS.items() if key not in base}
    return {**defaults, "PYTHONPATH": os.pathsep.join([str(SITE), *inherited]), SWITCH: "1"}


def enable() -> None:
    """Register the import hooks in this process, if `GRM_CPU=1`. Imports no framework."""
    if os.environ.get(SWITCH) == "1":
        _install()


@functools.cache
def _install() -> None:
    # Importing torch and vLLM makes millions of objects; at Python's own threshold a fifth of the time of that import
    # is garbage collection.
    gc.set_threshold(10_000)
    # The patch of Ray itself asks whether the profile applies, when ray.init is called: asking imports torch, which
    # Ray's helper processes, as they import ray, must not do.
    patches: dict[str, Patch] = {"ray": patches_cluster.start_private_cluster}
    patches |= {name: _unless_cuda(patch) for name, patch in PATCHES.items()}
    contexts = {name: _context_unless_cuda(context) for name, context in IMPORT_CONTEXTS.items()}
    PatchingFinder(patches, contexts).install()


def _unless_cuda(patch: Patch) -> Patch:
    def run(module: ModuleType) -> None:
        if profile_applies():
            patch(module)

    return run


def _context_unless_cuda(context: ImportContext) -> ImportContext:
    return lambda: context() if profile_applies() else nullcontext()
