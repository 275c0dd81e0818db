"""What `grm-plugin doctor` says about versions, GPUs and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grm_plugin._util.known_versions import PYTHON, Package
from grm_plugin.batch.local_gpus import local_gpus
from grm_plugin.config import VLLMConfig
from grm_plugin.doctor import gpus, memory
from grm_plugin.doctor.findings import Finding
from grm_plugin.doctor.memory import GIB
from grm_plugin.doctor.model_files import ModelFiles
from grm_plugin.doctor.versions import version_finding
from support.factories import make_config

LLAMA_8B = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096}
V2_LITE = {"num_hidden_layers": 27, "kv_lora_rank": 512, "qk_rope_head_dim": 64, "num_attention_heads": 16}


def only(findings: list[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.mark.parametrize(
    ("version", "level"),
    [("3.11.9", "ok"), ("3.12.1", "warning"), ("3.10.14", "error")],
)
def test_versions_are_tested_or_working_or_neither(version: str, level: str) -> None:
    assert version_finding(PYTHON, "python", version).level == level


def test_a_version_with_a_build_tag_counts_as_its_version() -> None:
    assert version_finding(Package(("torch",), ">=2.6", "==2.13.*"), "torch", "2.13.0+cpu").level == "ok"


@pytest.mark.parametrize(
    ("shape", "tensor_parallel", "bytes_per_token"),
    [
        (LLAMA_8B, 1, 131_072.0),  # 2 x 32 layers x 8 heads x 128 x 2 bytes
        (LLAMA_8B, 2, 65_536.0),
        (V2_LITE, 2, 31_104.0),  # 27 layers x (512 + 64) x 2 bytes, on every GPU
        ({"text_config": LLAMA_8B}, 1, 131_072.0),
        ({"n_layer": 12}, 1, None),
    ],
)
def test_the_kv_cache_of_a_token(shape: dict[str, Any], tensor_parallel: int, bytes_per_token: float | None) -> None:
    assert ModelFiles(Path(), shape, 0, ()).kv_bytes(tensor_parallel) == bytes_per_token


@pytest.mark.parametrize(
    ("weights_gib", "gpu_gib", "level", "words"),
    [
        (15, 80, "ok", "KV cache holds about 450,560 tokens, 55 of the longest sequences at once"),
        (15, 19, "error", "lower engine.max_model_len (8192)"),
        (60, 40, "error", "raise engine.tensor_parallel_size"),
    ],
)
def test_a_model_is_held_against_a_gpu(weights_gib: int, gpu_gib: int, level: str, words: str) -> None:
    section = VLLMConfig(model="a/b", max_model_len=8192)
    files = ModelFiles(Path(), LLAMA_8B, weights_gib * GIB, ())
    found = memory.fit_on_gpu("engine.model", section, files, gpu_gib * GIB)
    assert found.level == level
    assert words in f"{found.message} {found.fix}"


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi lists two GPUs, the second of them busy, and whose vLLM is a CUDA build."""
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho '0, GPU-aa, 81559, 4'\necho '1, GPU-bb, 81559, 60000'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("GRM_CPU", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ["GPU 0", "GPU 1"]), ("1", ["GPU 1"]), ("GPU-aa", ["GPU 0"]), ("", []), ("7", [])],
)
@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_those_a_process_may_use(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.name for gpu in local_gpus()] == names


@pytest.mark.parametrize(
    ("tensor_parallel", "level", "words"),
    [(1, "ok", "1 needed, 1 of 2 free"), (2, "warning", "use memory of GPU 1"), (4, "error", "this machine has 2")],
)
@pytest.mark.usefixtures("two_gpus")
def test_gpus_of_this_machine(tensor_parallel: int, level: str, words: str) -> None:
    config = make_config(engine__type="vllm", engine__model="a/b", engine__tensor_parallel_size=tensor_parallel)
    found = only(gpus.check_gpus(config))
    assert found.level == level
    assert words in found.message


def test_a_ray_cluster_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRM_CPU", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    found = only(gpus.check_gpus(make_config(engine__type="vllm", engine__model="a/b")))
    assert found.level == "error"
    assert "127.0.0.1:1" in found.message
    assert "RAY_ADDRESS" in found.fix
