"""What can be seen of a machine before a model is loaded, which takes minutes: whether it can hold the model at all."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from grm_plugin._util.nvidia_gpus import GIB, MIB, VISIBLE, local_gpus
from grm_plugin.config import VLLMConfig
from grm_plugin.engines.gpu_room import room_on_gpu
from grm_plugin.engines.model_files import find_folder, read_files
from grm_plugin.errors import EngineError

logger = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")
QUEUE_BYTES = 160 * MIB
"""What the processes of a tensor parallel model talk through (vLLM's v1/executor/multiproc_executor.py: ten pieces of
VLLM_MQ_MAX_CHUNK_BYTES_MB, 16). A container has 64 MiB unless it is asked for more, and ends them by a bus error."""


def check_machine(config: VLLMConfig) -> None:
    """Check shared memory, parts of GPUs, and the memory of the GPUs that this process may use.

    Where something is not known (no driver, weights not on this machine) nothing is said.

    Raises:
        EngineError: the model cannot run here; with the key or the option to change.
    """
    if config.tensor_parallel_size > 1:
        _check_shared_memory()
        _check_no_parts(config)
    _check_memory(config)


def _check_shared_memory() -> None:
    try:
        found = os.statvfs(SHARED_MEMORY)
    except OSError:
        return
    free = found.f_bavail * found.f_frsize
    if free < QUEUE_BYTES:
        raise EngineError(
            f"tensor_parallel_size above 1 needs {QUEUE_BYTES // MIB} MiB of shared memory, and {SHARED_MEMORY} has "
            f"{free // MIB} MiB free: docker run --shm-size=10g, in Kubernetes an emptyDir of medium Memory at /dev/shm"
        )


def _check_no_parts(config: VLLMConfig) -> None:
    parts = [name for name in os.environ.get(VISIBLE, "").split(",") if name.strip().startswith("MIG-")]
    if parts:
        raise EngineError(
            f"tensor_parallel_size is {config.tensor_parallel_size}, but {', '.join(parts)} are parts of GPUs (MIG), "
            "which cannot work on one model together: take whole GPUs, or tensor_parallel_size 1"
        )


def _check_memory(config: VLLMConfig) -> None:
    gpus, folder = local_gpus()[: config.tensor_parallel_size], find_folder(config.model)
    if not gpus or folder is None:
        return
    smallest, largest = min(gpu.total for gpu in gpus), max(gpu.total for gpu in gpus)
    if smallest < largest:
        logger.warning("the GPUs of one model are not equal: it takes as much of each as the smallest has")
    try:
        files = read_files(folder)
    except (OSError, ValueError):  # the loading says what is wrong with them
        return
    room = room_on_gpu(config, files, smallest)
    if room.weights > room.usable and not config.engine_args:  # those may quantise the weights, or keep them elsewhere
        raise EngineError(
            f"{room.weights / GIB:,.1f} GiB of weights per GPU do not fit into {room.usable / GIB:,.1f} GiB "
            f"({config.gpu_memory_utilization:g} of {smallest / GIB:,.1f}): raise tensor_parallel_size "
            f"({config.tensor_parallel_size}) or gpu_memory_utilization, or take larger GPUs"
        )
