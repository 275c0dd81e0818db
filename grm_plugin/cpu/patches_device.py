"""Patches for code that asks for the current CUDA device when it needs the device of this process."""

from __future__ import annotations

from types import ModuleType
from typing import Any


def stub_cuda(torch: ModuleType) -> None:
    """Replace the four functions of `torch.cuda` that OpenRLHF's trainer calls.

    Without: AttributeError `_cuda_setDevice` (set_device), or AssertionError "Torch not compiled with CUDA enabled".
    `get_device_properties` is not replaced: torch's compiler would take its answer for a real GPU, and crash.
    """
    device = torch.device("cpu")
    torch.cuda.set_device = lambda device: None
    torch.cuda.current_device = lambda: device
    torch.cuda.synchronize = lambda device=None: None
    torch.cuda.current_stream = lambda device=None: None


def replace_cuda_devices(replay_buffer: ModuleType) -> None:
    """Make the replay buffer's `torch.device("cuda:...")` the CPU.

    Without: RuntimeError, invalid device string "cuda:cpu".
    """
    replay_buffer.torch = _TorchOnCpu(replay_buffer.torch)  # type: ignore[attr-defined]


class _TorchOnCpu:
    """Stands for the module torch, but makes a CPU device where a CUDA device is asked for."""

    def __init__(self, torch: ModuleType) -> None:
        self._torch = torch

    def device(self, name: str) -> Any:
        return self._torch.device("cpu" if name.startswith("cuda") else name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)
