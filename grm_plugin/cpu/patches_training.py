"""Patches for parts of the trainer that are CUDA kernels, or that would be compiled when the job starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn


@contextmanager
def flash_attention_stubs() -> Iterator[None]:
    """Let `openrlhf.models.ring_attn_utils` import functions of flash-attn, which only sample packing calls.

    Without: ModuleNotFoundError flash_attn. The stubs are removed after the import: transformers would take them for an
    installed flash-attn.
    """
    imported = {
        "flash_attn": (),
        "flash_attn.bert_padding": ("index_first_axis", "pad_input", "rearrange", "unpad_input"),
        "flash_attn.utils": (),
        "flash_attn.utils.distributed": ("all_gather",),
    }
    stubs = {name: ModuleType(name) for name in imported}
    for name, functions in imported.items():
        for function in functions:
            setattr(stubs[name], function, _needs_flash_attention)
    sys.modules.update(stubs)
    try:
        yield
    finally:
        for name in stubs:
            del sys.modules[name]


def _needs_flash_attention(*args: object, **kwargs: object) -> NoReturn:
    raise RuntimeError(
        "this needs flash-attn, which has no CPU build: drop --ds.packing_samples, --train.dynamic_batch_enable "
        "and --ds.ring_attn_size from the command"
    )


def use_torch_adam(deepspeed_utils: ModuleType) -> None:
    """Make DeepSpeed use torch's AdamW instead of its own.

    Without: DeepSpeed compiles a kernel in the first step, which takes a minute and gigabytes of memory, and fails
    where there is no compiler.
    """
    original = deepspeed_utils.get_train_ds_config

    def get_train_ds_config(*args: Any, **kwargs: Any) -> dict[str, Any]:
        config: dict[str, Any] = original(*args, **kwargs)
        optimizer = config.get("optimizer")
        if optimizer is not None and optimizer["type"].startswith("Adam"):
            optimizer["params"]["torch_adam"] = True
        return config

    deepspeed_utils.get_train_ds_config = get_train_ds_config  # type: ignore[attr-defined]


def skip_shared_memory_op(deepspeed_comm: ModuleType) -> None:
    """Turn off DeepSpeed's shared-memory all-reduce, which only makes several ranks on one machine faster.

    Without: it is compiled when the job starts, which fails where there is no compiler.
    """
    deepspeed_comm.build_shm_op = lambda: None  # type: ignore[attr-defined]


def gather_parameters_in_turn(partition_parameters: ModuleType) -> None:
    """Make ZeRO 3 wait for every parameter that it gathers for a module or for saving.

    Without: DeepSpeed before 0.19.8 waits for the last gather only (its pull request 8539). NCCL ends gathers in order,
    gloo does not: now and then other parameters still hold uninitialised memory when they are used, and become NaN.
    """
    init = partition_parameters.Init
    _ = init._allgather_params_coalesced, init._allgather_params_sequential  # AttributeError where one has been moved

    def gather_in_turn(self: Any, params: list[Any], hierarchy: int = 0, quantize: bool = False) -> None:
        self._allgather_params_sequential(params, hierarchy=hierarchy)

    init._allgather_params_coalesced = gather_in_turn
