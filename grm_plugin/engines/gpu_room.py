"""How a model fits into the memory of its GPUs: weights, and the KV cache that is left; a rule of thumb."""

from __future__ import annotations

from dataclasses import dataclass, replace

from grm_plugin._util.nvidia_gpus import GIB
from grm_plugin.config import VLLMConfig
from grm_plugin.engines.model_files import ModelFiles

WORKING_BYTES = 2 * GIB
"""For activations, CUDA graphs and libraries, per GPU."""


@dataclass(frozen=True, slots=True)
class Room:
    """The memory of each of a replica's GPUs, in bytes.

    Attributes:
        usable: what vLLM may take (`gpu_memory_utilization`).
        weights: this GPU's part of the weights.
        kv_tokens: tokens that the KV cache of the replica holds; None where the architecture is not known, and
            negative where the weights alone do not fit.
    """

    usable: float
    weights: float
    kv_tokens: float | None

    @property
    def left(self) -> float:
        """For the KV cache; negative where the weights do not fit."""
        return self.usable - self.weights - WORKING_BYTES


def room_on_gpu(model: VLLMConfig, files: ModelFiles, gpu_bytes: int) -> Room:
    """How a model fits into `tensor_parallel_size` GPUs of `gpu_bytes` each."""
    usable, weights = model.gpu_memory_utilization * gpu_bytes, files.loaded_bytes(model) / model.tensor_parallel_size
    per_token = files.kv_bytes(model.tensor_parallel_size)
    room = Room(usable, weights, None)
    return room if per_token is None else replace(room, kv_tokens=room.left / per_token)
