"""Patches for the weight sync from the trainer to the policy's vLLM engine.

A sync that does nothing, without an error, would be the worst fault of this profile: the job would train on samples of
a model whose weights are uninitialised memory, and finish. So the receiving end refuses every communicator but
`GlooBroadcast`.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from types import ModuleType
from typing import Any

SYNC_TIMEOUT = timedelta(minutes=5)
"""For the ranks to meet, and for each broadcast."""


class GlooBroadcast:
    """Stands for vLLM's NCCL communicator, with the one method of it that OpenRLHF calls, over gloo.

    Its process group is its own: the default groups of the trainer and of the engine do not have the same members.

    Args:
        host, port: where rank 0 opens the store at which the ranks meet.
        rank: of this process.
        world_size: processes in all: the trainer's rank 0 and every worker of the engine.

    Raises:
        torch.distributed.DistStoreError: the ranks did not meet within `SYNC_TIMEOUT`.
    """

    def __init__(self, host: str, port: int, rank: int, world_size: int) -> None:
        from torch.distributed import ProcessGroupGloo, TCPStore

        store = TCPStore(host, port, world_size, is_master=rank == 0, timeout=SYNC_TIMEOUT)
        self._group = ProcessGroupGloo(store, rank, world_size, SYNC_TIMEOUT)

    def broadcast(self, tensor: Any, src: int, stream: object = None) -> None:
        """Send `tensor` from rank `src` to all others, in place; returns when it has been sent or received."""
        from torch.distributed import BroadcastOptions

        options = BroadcastOptions()
        options.rootRank = src
        self._group.broadcast([tensor], options).wait()


def sync_weights_over_gloo(distributed_util: ModuleType) -> None:
    """Replace the NCCL group that carries the weights by `GlooBroadcast`.

    Without: vLLM's communicator finds no NCCL and turns itself off. Its broadcasts then do nothing, without an error.
    """

    def stateless_init_process_group(
        master_address: str, master_port: int, rank: int, world_size: int, device: object
    ) -> GlooBroadcast:
        return GlooBroadcast(master_address, master_port, rank, world_size)

    original = distributed_util.stateless_init_process_group
    functools.update_wrapper(stateless_init_process_group, original)
    distributed_util.stateless_init_process_group = stateless_init_process_group  # type: ignore[attr-defined]


def receive_weights_on_cpu(vllm_worker_wrap: ModuleType) -> None:
    """Make vLLM's worker receive into CPU memory, refuse a sync without gloo, and compute with the received weights.

    Without: the worker raises, as there is no CUDA, while the trainer waits in the broadcast. Only the policy's engine
    loads this module: other engines of the job, whose weights never change, keep vLLM's faster kernels (see
    `compute_with_live_weights`).
    """
    worker = vllm_worker_wrap.WorkerWrap
    init_process_group = worker.init_process_group
    update_weight = worker.update_weight
    cuda_means_cpu = _cuda_means_cpu()

    @functools.wraps(init_process_group)
    def checked_init_process_group(self: Any, *args: Any, **kwargs: Any) -> None:
        init_process_group(self, *args, **kwargs)
        if not isinstance(self._model_update_group, GlooBroadcast):
            raise RuntimeError(
                f"the weight sync uses {type(self._model_update_group).__name__}, which moves nothing on a CPU: "
                "drop --vllm.sync_with_ray, and check that GRM_CPU=1 reaches Ray's workers"
            )

    @functools.wraps(update_weight)
    def update_weight_on_cpu(self: Any, *args: Any, **kwargs: Any) -> None:
        with cuda_means_cpu:
            update_weight(self, *args, **kwargs)

    worker.init_process_group = checked_init_process_group
    worker.update_weight = update_weight_on_cpu
    compute_with_live_weights()


def compute_with_live_weights() -> None:
    """Make vLLM's CPU build multiply by a layer's weight as it is now, and not by a packed copy of it.

    Without: vLLM packs the weights when it starts. The linear layers then have no weight to load into (AttributeError:
    no `weight_loader`), and lm_head ignores new weights, which shows only in a vllm_kl that slowly grows.
    """
    from torch.nn.functional import linear
    from vllm.model_executor.layers import utils

    if not hasattr(utils, "dispatch_cpu_unquantized_gemm"):
        raise RuntimeError("vLLM has moved dispatch_cpu_unquantized_gemm: the CPU profile is written for vLLM 0.32")

    def dispatch(layer: Any, remove_weight: bool) -> None:
        layer.cpu_linear = linear

    utils.dispatch_cpu_unquantized_gemm = dispatch


def _cuda_means_cpu() -> Any:
    from torch.overrides import TorchFunctionMode

    class CudaMeansCpu(TorchFunctionMode):  # type: ignore[misc]
        """Makes tensors on the CPU that are asked for on "cuda"."""

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if kwargs.get("device") == "cuda":
                kwargs = {**kwargs, "device": "cpu"}
            return func(*args, **kwargs)

    return CudaMeansCpu()
