"""What is seen of a machine before a model loads. The driver is a script that prints what nvidia-smi would."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from grm_plugin._util.nvidia_gpus import MIB
from grm_plugin.config import VLLMConfig
from grm_plugin.engines.before_loading import check_machine
from grm_plugin.errors import EngineError

WEIGHTS_MIB = 64
LLAMA = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 64, "torch_dtype": "bfloat16"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a config.json and so many bytes of weights, which hold nothing."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    with (folder / "model.safetensors").open("wb") as weights:
        weights.truncate(WEIGHTS_MIB * MIB)
    return folder


def driver(folder: Path, monkeypatch: pytest.MonkeyPatch, *mib: int) -> None:
    """A machine whose GPUs have so much memory."""
    rows = "\n".join(f"{number}, GPU-{number}, {size}, 0" for number, size in enumerate(mib))
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{rows}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def shared_memory(monkeypatch: pytest.MonkeyPatch, mib: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=mib * 256, f_frsize=4096))


def test_a_model_that_fits_passes(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, 80, 80)
    shared_memory(monkeypatch, 1024)
    check_machine(VLLMConfig(model=str(model)))
    check_machine(VLLMConfig(model=str(model), tensor_parallel_size=2))


@pytest.mark.parametrize(("mib", "parallel"), [((60, 60), 1), ((80, 30), 2)], ids=["small", "unequal"])
def test_weights_that_do_not_fit_are_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mib: tuple[int, ...], parallel: int
) -> None:
    """The smallest GPU counts: each holds an equal part of the weights."""
    driver(tmp_path, monkeypatch, *mib)
    shared_memory(monkeypatch, 1024)
    with pytest.raises(EngineError, match=r"of weights per GPU do not fit .* raise tensor_parallel_size"):
        check_machine(VLLMConfig(model=str(model), tensor_parallel_size=parallel))


@pytest.mark.parametrize(
    "further",
    [{"engine_args": {"quantization": "fp8"}}, {"dtype": "bfloat16"}],
    ids=["quantised by vLLM", "stored in 32 bits"],
)
def test_weights_that_shrink_when_they_are_loaded_pass(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, further: dict[str, object]
) -> None:
    driver(tmp_path, monkeypatch, 60)
    (model / "config.json").write_text(json.dumps(LLAMA | {"torch_dtype": "float32"}))
    check_machine(VLLMConfig.model_validate({"model": str(model), **further}))


def test_a_container_without_shared_memory_is_told_its_option(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker gives 64 MiB, in which vLLM's processes would end by a bus error after minutes of loading."""
    shared_memory(monkeypatch, 64)
    check_machine(VLLMConfig(model=str(model)))  # one GPU needs none
    with pytest.raises(EngineError, match=r"needs 160 MiB of shared memory, and /dev/shm has 64 MiB free.*--shm-size"):
        check_machine(VLLMConfig(model=str(model), tensor_parallel_size=2))


def test_parts_of_gpus_cannot_share_a_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared_memory(monkeypatch, 1024)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-aa,MIG-bb")
    with pytest.raises(EngineError, match=r"MIG-aa, MIG-bb are parts of GPUs \(MIG\).*tensor_parallel_size 1"):
        check_machine(VLLMConfig(model=str(model), tensor_parallel_size=2))


def test_what_is_not_known_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    check_machine(VLLMConfig(model="org/not-on-this-machine"))
    driver(tmp_path, monkeypatch, 1)
    check_machine(VLLMConfig(model="org/not-on-this-machine"))
