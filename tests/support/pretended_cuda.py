"""What vLLM would be configured to on GPUs that are not here: `python -m support.pretended_cuda FOLDER` prints JSON.

vLLM's own code makes the configuration, asked by our engine classes for the two configurations of DeepSeek-GRM; only
the answers of a CUDA device are pretended, and the kernels that a CPU build does not have. Nothing can be computed. It
runs in a process of its own, since vLLM keeps what it has learnt of its device.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from support.paths import ROOT
from support.released_models import RELEASED
from support.tiny_models import write_configuration


@dataclass(frozen=True)
class Device:
    """A GPU as CUDA describes it; `memory_gib` is what it has by its own account."""

    name: str
    capability: tuple[int, int]
    memory_gib: float


DEVICES = {
    "H100": Device("NVIDIA H100 80GB HBM3", (9, 0), 79.1),
    "H200": Device("NVIDIA H200", (9, 0), 139.8),
    "A100": Device("NVIDIA A100-SXM4-80GB", (8, 0), 79.1),
}
CONFIGS = ("deepseek_grm_16b", "deepseek_grm_27b_meta_rm")
WEIGHTS = {
    "BBQGOD/DeepSeek-GRM-16B": "deepseek_v2",
    "BBQGOD/DeepSeek-GRM-27B": "gemma_2",
    "BBQGOD/DeepSeek-GRM-27B-MetaRM": "gemma_2_meta_rm",
}


class Configured(BaseException):  # not Exception: it is no failure of the start
    """Where vLLM would begin to load the model."""

    def __init__(self, vllm_config: Any) -> None:
        self.vllm_config = vllm_config


class _Kernels(ModuleType):
    """A module of kernels, none of which is ever run."""

    __path__: list[str] = []  # noqa: RUF012  # a package
    __spec__ = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **named: None if name.endswith("reason") else True


def pretend(device: Device) -> Any:
    """Have vLLM find eight GPUs of a kind in this process. Returns its platform."""
    for name in (
        "vllm._C_stable_libtorch", "vllm._moe_C_stable_libtorch", "vllm.vllm_flash_attn",
        "vllm.vllm_flash_attn.flash_attn_interface",
    ):  # fmt: skip
        sys.modules.setdefault(name, _Kernels(name))
    from vllm import platforms
    from vllm.platforms.cuda import CudaPlatformBase
    from vllm.platforms.interface import DeviceCapability

    answers = {
        "get_device_capability": DeviceCapability(*device.capability),
        "get_device_name": device.name,
        "get_device_total_memory": int(device.memory_gib * 2**30),
        "device_count": 8,
        "is_fully_connected": True,
        "num_compute_units": 132,
        "is_integrated_gpu": False,
    }
    methods = {name: classmethod(lambda cls, *_, answer=answer, **__: answer) for name, answer in answers.items()}
    platform = type("PretendedCuda", (CudaPlatformBase,), methods)()
    for module in [platforms, *sys.modules.values()]:
        if (getattr(module, "__name__", None) or "").startswith("vllm") and "current_platform" in vars(module):
            vars(module)["current_platform"] = platform
    platforms._current_platform = platform
    from vllm import _custom_ops

    for name in dir(_custom_ops):
        if name.startswith("cutlass") and "support" in name:
            setattr(_custom_ops, name, lambda *_: True)
    return platform


def configurations(folder: Path) -> Iterator[tuple[str, Any]]:
    """The configuration that vLLM makes for each model of the two configurations, on the device of `pretend`."""
    from vllm.v1.engine.async_llm import AsyncLLM

    from grm_plugin.config.loading import load_config
    from grm_plugin.engines import vllm_start
    from grm_plugin.engines.vllm import VLLMEngine, VLLMMetaRM

    def instead(vllm_config: Any, *_: Any, **__: Any) -> None:
        raise Configured(vllm_config)

    AsyncLLM.from_vllm_config = instead
    vllm_start.is_cpu_build = lambda: False
    for file in CONFIGS:
        config = load_config(ROOT / "configs" / f"{file}.yaml")
        for build, section in ((VLLMEngine, config.engine), (VLLMMetaRM, config.meta_rm)):
            if section is None:
                continue
            name = WEIGHTS[section.model]
            write_configuration(RELEASED[name], folder / name, {})
            here: Any = section.model_copy(update={"model": str(folder / name)})
            try:
                build(here)
            except Configured as configured:
                yield name, configured.vllm_config


def facts(platform: Any, vllm_config: Any) -> dict[str, Any]:
    """What decides how fast, and whether, a model runs."""
    from vllm.config import set_current_vllm_config
    from vllm.v1.attention.selector import AttentionSelectorConfig

    model, scheduler, parallel = vllm_config.model_config, vllm_config.scheduler_config, vllm_config.parallel_config
    asked = AttentionSelectorConfig(model.get_head_size(), model.dtype, "auto", None, use_mla=model.use_mla)
    with set_current_vllm_config(vllm_config):
        backend = platform.get_attn_backend_cls(None, asked, model.get_num_attention_heads(parallel))
    pooler = model.pooler_config
    return {
        "sequences": scheduler.max_num_seqs,
        "tokens": scheduler.max_num_batched_tokens,
        "context": model.max_model_len,
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": backend.rpartition(".")[2],
        "latent": model.use_mla,
        "prefix_caching": vllm_config.cache_config.enable_prefix_caching,
        "gpus": parallel.tensor_parallel_size,
        "executor": str(parallel.distributed_executor_backend),
        "runner": model.runner_type,
        "pooling": None if pooler is None else model.get_pooling_task(("classify", "token_classify")),
        "pooled": None if pooler is None else str(pooler.seq_pooling_type),
        "head_dtype": str(model.head_dtype).removeprefix("torch."),
    }


def main(folder: Path) -> None:
    found: dict[str, dict[str, Any]] = {}
    for key, device in DEVICES.items():
        platform = pretend(device)
        found[key] = {name: facts(platform, vllm_config) for name, vllm_config in configurations(folder)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
