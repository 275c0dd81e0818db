"""Whether this machine has a CUDA device, with which the CPU profile must do nothing."""

from __future__ import annotations

import functools
from typing import Any


def cuda_present(torch: Any) -> bool:
    """Whether this build of torch could use a GPU of this machine.

    NVML is asked first, for two reasons. It does not start the CUDA runtime, which forked children of this process
    could not use any more. And it ignores CUDA_VISIBLE_DEVICES, which Ray empties in processes without a GPU of their
    own, while the answer must be the same in all processes of a job.

    Args:
        torch: the imported torch module.
    """
    if torch.version.cuda is None and torch.version.hip is None:
        return False
    return bool(torch.cuda._raw_device_count_nvml() > 0 or torch.cuda.is_available())


@functools.cache
def profile_applies() -> bool:
    """Whether the profile is to patch anything on this machine. Imports torch: to be called as late as possible."""
    import torch

    return not cuda_present(torch)
