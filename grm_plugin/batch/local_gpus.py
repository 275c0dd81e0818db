"""The GPUs of this machine, and which of them each engine of an offline run gets. (In a service Ray decides this.)"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile

from grm_plugin._util.nvidia_gpus import VISIBLE, local_gpus
from grm_plugin.config import VLLMConfig
from grm_plugin.engines.vllm_start import is_cpu_build
from grm_plugin.errors import ConfigError

GPUs = tuple[str, ...] | None
"""The GPUs of one engine, by their names in CUDA_VISIBLE_DEVICES; None leaves the choice to vLLM."""


def visible_gpus() -> list[str] | None:
    """The names of the GPUs that this process may use; None for a CPU build of vLLM, or where no GPU can be found."""
    if is_cpu_build():
        return None
    visible = os.environ.get(VISIBLE)
    if visible is not None:
        return list(takewhile(lambda name: name not in ("", "-1"), (name.strip() for name in visible.split(","))))
    return [str(number) for number in range(len(local_gpus()))] or None


def assign_gpus(models: Mapping[str, VLLMConfig], gpus: Sequence[str] | None) -> dict[str, list[GPUs]]:
    """Decide how many engines each model gets, and on which GPUs.

    Every model gets one engine first. GPUs that are left go to further `replicas`, model by model in the order of
    `models`. Where there are too few GPUs for one engine each, models share them if their `gpu_memory_utilization` is
    less than 1 together.

    Args:
        models: section of the configuration (`engine`, `meta_rm`) -> its model.
        gpus: names of GPUs. None gives every model one engine, since more would share the same cores or GPUs.

    Returns:
        Section -> the GPUs of each of its engines.

    Raises:
        ConfigError: there are too few GPUs for one engine of each model.
    """
    if gpus is None:
        return {section: [None] for section in models}
    needed = sum(model.tensor_parallel_size for model in models.values())
    widest = max((model.tensor_parallel_size for model in models.values()), default=0)
    if needed > len(gpus):
        if widest <= len(gpus) and sum(model.gpu_memory_utilization for model in models.values()) < 1:
            return {section: [tuple(gpus[: model.tensor_parallel_size])] for section, model in models.items()}
        raise ConfigError(_too_few(models, gpus))
    left = list(gpus)
    placed: dict[str, list[GPUs]] = {section: [_take(left, model)] for section, model in models.items()}
    for section, model in models.items():
        while len(placed[section]) < model.replicas and len(left) >= model.tensor_parallel_size:
            placed[section].append(_take(left, model))
    return placed


@contextmanager
def only_visible(gpus: GPUs) -> Iterator[None]:
    """Processes started within the block see these GPUs only. vLLM's processes inherit the environment."""
    if gpus is None:
        yield
        return
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = ",".join(gpus)
    try:
        yield
    finally:
        os.environ.pop(VISIBLE)
        if before is not None:
            os.environ[VISIBLE] = before


def _take(left: list[str], model: VLLMConfig) -> tuple[str, ...]:
    taken = tuple(left[: model.tensor_parallel_size])
    del left[: model.tensor_parallel_size]
    return taken


def _too_few(models: Mapping[str, VLLMConfig], gpus: Sequence[str]) -> str:
    needs = " + ".join(f"{section} {model.tensor_parallel_size}" for section, model in models.items())
    total = sum(model.tensor_parallel_size for model in models.values())
    leave_out = ", set meta_rm to null" if len(models) > 1 else ""
    share = " or gpu_memory_utilization of both, to share GPUs (together less than 1)" if len(models) > 1 else ""
    return (
        f"{total} GPU(s) are needed here ({needs}: tensor_parallel_size), {len(gpus)} visible ({VISIBLE}: "
        f"{','.join(gpus) or 'none'}): make more visible{leave_out}, lower tensor_parallel_size{share}, or ask a "
        "service on a cluster that has them (grm-plugin serve)"
    )
