"""What `grm-plugin doctor` says about versions, GPUs and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grm_plugin._util.known_versions import COMBINATIONS, PYTHON, Combination, Package
from grm_plugin._util.nvidia_gpus import local_gpus
from grm_plugin.config import VLLMConfig
from grm_plugin.doctor import gpus, memory
from grm_plugin.doctor.findings import Finding
from grm_plugin.doctor.memory import GIB
from grm_plugin.doctor.versions import combination_findings, version_finding
from grm_plugin.engines.model_files import ModelFiles, named_parameters
from support.factories import make_config
from support.paths import ROOT

NANO = ROOT / "examples" / "nano" / "models"

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


OPENRLHFS_OWN = COMBINATIONS[0]


@pytest.mark.parametrize("tested", COMBINATIONS, ids=lambda tested: tested.name)
@pytest.mark.parametrize("without", ["", "openrlhf", "deepspeed"])
def test_versions_that_were_tested_together(tested: Combination, without: str) -> None:
    found = {name: version for name, version in tested.versions.items() if name != without}
    finding = only(combination_findings(found | {"torch": f"{tested.versions['torch']}+cu130", "protobuf": "6.33.6"}))
    assert finding.level == "ok"
    assert tested.name in finding.message


@pytest.mark.parametrize(
    ("versions", "differing", "constraints"),
    [
        (
            {**OPENRLHFS_OWN.versions, "transformers": "5.19.0"},
            "transformers 5.19.0 (there 5.15.0)",
            '--no-build-isolation -e ".[openrlhf]" -c configs/constraints/openrlhf-0.11.2.txt',
        ),
        (
            {"vllm": "0.32.0", "ray": "2.58.0", "transformers": "5.19.0"},
            "ray 2.58.0 (there 2.55.0)",
            '-e ".[vllm]" -c configs/constraints/vllm-0.32.0-ray-2.55.0.txt',
        ),
        (
            {"vllm": "0.33.0", "ray": "2.60.0", "torch": "2.14.0"},
            "vllm 0.33.0 (there 0.32.0), torch 2.14.0 (there 2.13.0)",
            '-e ".[vllm]" -c configs/constraints/vllm-0.32.0-ray-2.60.0.txt',
        ),
    ],
    ids=["versions of two sets", "a Ray between two", "a newer vLLM"],
)
def test_versions_that_were_not_tested_together(versions: dict[str, str], differing: str, constraints: str) -> None:
    finding = only(combination_findings(versions))
    assert (finding.level, finding.message.endswith(f": {differing}")) == ("warning", True), finding
    assert finding.fix == f"pip install {constraints}"
    assert "make" in only(combination_findings(versions, on_cpu=True)).fix


def test_where_neither_vllm_nor_openrlhf_is_installed_nothing_has_to_fit() -> None:
    assert combination_findings({"ray": "2.40.0", "torch": "2.6.0", "transformers": "4.57.6"}) == []


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
    [
        (None, ["GPU 0", "GPU 1"]),
        ("1", ["GPU 1"]),
        ("1,0", ["GPU 1", "GPU 0"]),
        ("GPU-aa", ["GPU 0"]),
        ("", []),
        ("7", []),
    ],
)
@pytest.mark.usefixtures("two_gpus")
def test_gpus_are_those_a_process_may_use(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, names: list[str]
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.name for gpu in local_gpus()] == names


def test_a_gpu_of_unknown_memory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho '0, GPU-aa, [N/A], [N/A]'\necho '1, GPU-bb, 24564, [N/A]'\necho 'No devices'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [(gpu.name, gpu.used) for gpu in local_gpus()] == [("GPU 1", 0)]


@pytest.mark.parametrize(
    ("visible", "gib"), [("MIG-1111", [40]), ("MIG-1111-x,MIG-2222-x", [40, 10]), ("MIG-33", []), ("0", [])]
)
def test_parts_of_a_gpu_count_where_they_are_named(
    visible: str, gib: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-aa)
  MIG 3g.40gb     Device  0: (UUID: MIG-1111-x)
  MIG 1g.10gb+me  Device  1: (UUID: MIG-2222-x)"""
    driver = tmp_path / "nvidia-smi"
    driver.write_text(f"#!/bin/sh\n[ $1 = -L ] && echo '{listed}'\ntrue\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.total // GIB for gpu in local_gpus()] == gib


def test_gpus_of_unequal_memory_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho '0, GPU-aa, 81559, 4'\necho '1, GPU-bb, 24564, 4'\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(memory, "is_cpu_build", lambda: False)
    unequal, model = memory.check_memory(make_config(engine__type="vllm", engine__model="a/grm-27B"))
    assert (unequal.level, model.level) == ("warning", "error")
    assert "GPU 0: 80 GiB, GPU 1: 24 GiB" in unequal.message
    assert "in 21.6 GiB" in model.message  # the smallest counts


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


@pytest.fixture
def cpu_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a GPU's driver, whose vLLM is a CPU build."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for variable in ("CUDA_VISIBLE_DEVICES", "GRM_CPU", "RAY_ADDRESS"):
        monkeypatch.delenv(variable, raising=False)
    for module in ("serving.ray.gpus", "doctor.memory"):
        monkeypatch.setattr(f"grm_plugin.{module}.is_cpu_build", lambda: True)


@pytest.mark.usefixtures("cpu_only")
@pytest.mark.parametrize("profile", ["", "1"], ids=["plain", "GRM_CPU=1"])
@pytest.mark.parametrize(
    ("engine", "levels", "words"),
    [
        (
            {"model": "BBQGOD/DeepSeek-GRM-16B"},
            ["error"],
            "engine.model BBQGOD/DeepSeek-GRM-16B (16 B parameters by its",
        ),
        ({"model": "some/judge-8x7B-Instruct"}, ["error"], "(56 B parameters by its name) needs GPUs"),
        ({"model": "some/grm", "tensor_parallel_size": 2}, ["error"], "(tensor_parallel_size 2) needs GPUs"),
        ({"model": "some/grm"}, ["warning"], "would run on the CPU, and its size is not known here"),
        ({"model": "some/tiny-0.5B"}, ["ok"], "none needed: this vLLM is a CPU build, and the models are small"),
        ({"model": "some/tiny-135M", "tensor_parallel_size": 2}, ["ok"], "the models are small"),
        ({"model": str(NANO / "grm")}, ["ok"], "the models are small"),
        ({"model": "weights"}, ["error"], "(5 GB of weights) needs GPUs"),
        ({"model": "weights", "without": "1.safetensors"}, ["warning"], "its size is not known here"),
    ],
)
def test_large_models_need_gpus(
    engine: dict[str, Any], levels: list[str], words: str, profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRM_CPU", profile)
    if engine["model"] == "weights":
        engine = {**engine, "model": large_weights(tmp_path, engine.get("without"))}
        engine.pop("without", None)
    found = gpus.check_gpus(make_config(engine={"type": "vllm", **engine}))
    assert [finding.level for finding in found] == levels
    assert words in found[0].message
    assert levels == ["ok"] or "vLLM's GPU build" in found[0].fix


def large_weights(folder: Path, without: str | None) -> str:
    """A model of 5 GB, as sparse files."""
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}')
    for name in {"1.safetensors", "2.safetensors"} - {without}:
        with (folder / name).open("wb") as file:
            file.truncate(2_500_000_000)
    return str(folder)


@pytest.mark.usefixtures("cpu_only")
def test_each_model_is_looked_at() -> None:
    config = make_config(engine={"type": "vllm", "model": str(NANO / "grm")}, meta_rm={"model": "a/MetaRM-27B"})
    assert only(gpus.check_gpus(config)).message.startswith("meta_rm.model a/MetaRM-27B (27 B parameters")
    assert only(gpus.check_gpus(make_config())).message == "none needed by this configuration"


@pytest.mark.usefixtures("cpu_only")
@pytest.mark.parametrize(
    ("model", "level", "words"),
    [
        ("some/grm-1000B", "error", "needed for vLLM on CPU (by the models' names)"),
        ("some/grm", "warning", "some/grm is not on this machine: not measured"),
        ("some/grm-27B-AWQ", "warning", "not measured"),
        (str(NANO / "grm"), "ok", "GiB needed for vLLM on CPU, "),
    ],
)
def test_main_memory_is_measured_by_what_is_known(model: str, level: str, words: str) -> None:
    found = only(memory.check_memory(make_config(engine={"type": "vllm", "model": model})))
    assert (found.level, words in found.message) == (level, True), found


@pytest.mark.usefixtures("two_gpus")
def test_weights_that_are_elsewhere_are_held_against_a_gpu_by_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grm_plugin.doctor.memory.is_cpu_build", lambda: False)
    found = [
        only(memory.check_memory(make_config(engine={"type": "vllm", "model": model})))
        for model in ("a/b-70B", "a/b-7B", "a/b")
    ]
    assert [finding.level for finding in found] == ["error", "ok", "warning"]
    assert "130.4 GiB of weights (by its name)" in found[0].message


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("BBQGOD/DeepSeek-GRM-27B-MetaRM", 27),
        ("Qwen/Qwen2.5-0.5B-Instruct", 0.5),
        ("Qwen/Qwen3-30B-A3B", 30),
        ("mistralai/Mixtral-8x7B-v0.1", 56),
        ("HuggingFaceTB/SmolLM2-135M", 0.135),
        ("google/gemma-2-27b-it", 27),
        ("10B-lab/grm", None),
        ("some/b2b-grm", None),
        ("some/grm-v2", None),
        ("/models/grm_7b", 7),
    ],
)
def test_the_size_in_a_name(name: str, billions: float | None) -> None:
    found = named_parameters(name)
    assert (found and found / 1e9) == pytest.approx(billions)


def test_a_ray_cluster_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRM_CPU", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    found = only(gpus.check_gpus(make_config(engine__type="vllm", engine__model="a/b")))
    assert found.level == "error"
    assert "127.0.0.1:1" in found.message
    assert "RAY_ADDRESS" in found.fix
